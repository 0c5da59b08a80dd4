"""Traces of arenas, and their text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from harness.check.subject import ModelStep
from harness.errors import UsageError
from harness.subsystems.vmem.model.operations import (
    NUMBER_LIMIT,
    Alloc,
    Operation,
    Operations,
    operation_text,
    parse_operation,
)
from harness.subsystems.vmem.model.player import Player, Seen, Setup, is_taken
from harness.subsystems.vmem.model.tag import KernelFault

_HEAD: Final = re.compile(
    r"arena quantum=(\d{1,10}) base=(\d{1,10}) size=(\d{1,10})"
    r"( imports=(\d{1,10}))?( releases)?( reclaims)?",
    re.ASCII,
)
#: Maximum number of operations of a text.
_MOST_OPERATIONS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Trace:
    """Operations on one arena; see ``harness.check.subject.Trace``.

    Args:
        setup: the arena.
        operations: the operations, in order.
    """

    setup: Setup
    operations: Operations

    def __len__(self) -> int:
        return len(self.operations)

    def __str__(self) -> str:
        return "\n".join([setup_text(self.setup), *map(operation_text, self.operations), ""])

    def head(self, length: int) -> Trace:
        """Return the trace with its first operations."""
        return replace(self, operations=self.operations[:length])

    def without(self, dropped: frozenset[int]) -> Trace:
        """Return the trace without the operations at these indices, from 0."""
        kept = (each for place, each in enumerate(self.operations) if place not in dropped)
        return replace(self, operations=tuple(kept))

    @property
    def is_taken(self) -> bool:
        """Whether all operations are valid in this order, and survived."""
        return is_taken(self.setup, self.operations)


def setup_text(setup: Setup) -> str:
    """Return the first line of a trace."""
    words = [
        f"arena quantum={setup.quantum} base={setup.base} size={setup.size}",
        f"imports={setup.imports}" if setup.imports else "",
        "releases" if setup.releases else "",
        "reclaims" if setup.reclaims else "",
    ]
    return " ".join(filter(None, words))


def is_trace(text: str) -> bool:
    """Return whether a text looks like a trace of an arena."""
    return re.search(r"^\s*arena\b", text, re.MULTILINE) is not None


def parse_trace(text: str) -> Trace:
    """Return the trace of a text; lines that begin with ``#`` are comments.

    The last operation may be one that the kernel does not survive by its own fault.

    Raises:
        UsageError: the text is not a trace, or an operation is invalid, or not survived.
    """
    lines = [line for line in map(str.strip, text.splitlines()) if line and line[0] != "#"]
    head = _HEAD.fullmatch(lines[0]) if lines else None
    if head is None:
        raise UsageError(
            "the trace does not begin with arena quantum=… base=… size=…",
            remedy="use a trace that harness check has written",
        )
    if len(lines) > _MOST_OPERATIONS:
        raise UsageError(
            f"the trace has more than {_MOST_OPERATIONS} operations", remedy="shorten it"
        )
    quantum, base, size = (int(head[place]) for place in (1, 2, 3))
    setup = Setup(quantum, base, size, int(head[5] or 0), bool(head[6]), bool(head[7]))
    if base + size > NUMBER_LIMIT:
        raise UsageError("the arena's span ends too high", remedy=f"end it below {NUMBER_LIMIT}")
    trace = Trace(setup, tuple(map(parse_operation, lines[1:])))
    for _ in run_trace(trace):  # refuses what no kernel may be asked
        pass
    return trace


def run_trace(trace: Trace) -> Iterator[ModelStep]:
    """Generate the steps of a trace in the model.

    Raises:
        UsageError: an operation is invalid, or not survived and not the last one.
    """
    player = Player(trace.setup)
    for number, operation in enumerate(trace.operations, start=1):
        text = operation_text(operation)
        try:
            seen = player.play(operation)
        except KernelFault as fault:
            if number < len(trace):
                raise
            yield ModelStep(number, text, fault.message, (), {})
            return
        yield ModelStep(number, text, _result(operation, seen), (), seen._asdict())


def _result(operation: Operation, seen: Seen) -> str:
    if not isinstance(operation, Alloc):
        return "done"
    return "no address (ENOMEM)" if seen.error else f"address {seen.address}"
