"""Traces of iterators, and their text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from harness.check.subject import ModelStep
from harness.errors import UsageError
from harness.subsystems.domainset.model.form import Form
from harness.subsystems.domainset.model.iteratorforms import ITERATORS
from harness.subsystems.domainset.model.machine import Branch
from harness.subsystems.domainset.model.operations import (
    Operations,
    operation_text,
    parse_operation,
)
from harness.subsystems.domainset.model.player import Layout, Player, Seen, is_taken
from harness.subsystems.domainset.model.sets import mask_in_words, parse_mask

_HEAD: Final = re.compile(r"iterators form=(\S+) domains=([1-8]) empty=(\S+)", re.ASCII)
#: Maximum number of operations of a text.
_MOST_OPERATIONS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Trace:
    """Operations on iterators of one form; see ``harness.check.subject.Trace``.

    Args:
        form: the form of the model.
        layout: the guest; the text contains only its domains.
        operations: the operations, in order.
    """

    form: Form
    layout: Layout
    operations: Operations

    def __len__(self) -> int:
        return len(self.operations)

    def __str__(self) -> str:
        head = (
            f"iterators form={self.form} domains={self.layout.domains} "
            f"empty={mask_in_words(self.layout.empty)}"
        )
        return "\n".join([head, *map(operation_text, self.operations), ""])

    def head(self, length: int) -> Trace:
        """Return the trace with its first operations."""
        return replace(self, operations=self.operations[:length])

    def without(self, dropped: frozenset[int]) -> Trace:
        """Return the trace without the operations at these indices, from 0."""
        kept = (each for place, each in enumerate(self.operations) if place not in dropped)
        return replace(self, operations=tuple(kept))

    @property
    def is_taken(self) -> bool:
        """Whether all operations are valid in this order."""
        return is_taken(self.form, self.layout, self.operations)


def is_trace(text: str) -> bool:
    """Return whether a text looks like a trace of iterators."""
    return re.search(r"^\s*iterators\b", text, re.MULTILINE) is not None


def parse_trace(text: str) -> Trace:
    """Return the trace of a text; lines that begin with ``#`` are comments.

    Raises:
        UsageError: the text is not a trace, or an operation is invalid.
    """
    lines = [line for line in map(str.strip, text.splitlines()) if line and line[0] != "#"]
    head = _HEAD.fullmatch(lines[0]) if lines else None
    if head is None or head[1] not in tuple(Form):
        raise UsageError(
            "the trace does not begin with iterators form=… domains=… empty=…",
            remedy=f"use a trace that harness check has written; forms: {', '.join(Form)}",
        )
    if len(lines) > _MOST_OPERATIONS:
        raise UsageError(
            f"the trace has more than {_MOST_OPERATIONS} operations", remedy="shorten it"
        )
    layout = Layout(int(head[2]), parse_mask(head[3]))
    trace = Trace(Form(head[1]), layout, tuple(map(parse_operation, lines[1:])))
    if not trace.is_taken:
        raise UsageError(
            "the trace has an invalid call of an iterator",
            remedy="step an iterator only after its start, and a counted one not after an error",
        )
    return trace


def run_trace(trace: Trace) -> Iterator[ModelStep]:
    """Generate the steps of a trace in the model, with the branches that each takes.

    Raises:
        IteratorMisuse: an operation is invalid for this form.
    """
    taken: list[str] = []

    def told(function: str, condition: str, holds: bool) -> bool:
        taken.append(str(Branch(function, condition, holds)))
        return holds

    player = Player(trace.form, trace.layout, told, ITERATORS[trace.form])
    for number, operation in enumerate(trace.operations, start=1):
        taken.clear()
        seen = player.play(operation)
        values = {} if seen is None else seen._asdict()
        yield ModelStep(number, operation_text(operation), _result(seen), tuple(taken), values)


def _result(seen: Seen | None) -> str:
    if seen is None:
        return "done"
    slept = "slept, then " if seen.slept else ""
    return slept + ("no domain (ENOMEM)" if seen.error else f"domain {seen.domain}")
