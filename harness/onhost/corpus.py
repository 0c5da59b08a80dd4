"""Traces that a program runs without a finding, for programs of changed code.

What a changed program shows by one of them is of the change, whatever the code below it shows by
other traces.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.check.channel import ChannelEnded
from harness.check.protocol import Nonsense
from harness.onhost.ending import EndingKind

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from harness.check.subject import Trace
    from harness.onhost.ending import HostEnding
    from harness.onhost.huntedprogram import HuntedProgram

#: Endings of a changed program that are no finding, after which it is judged by no further trace:
#: each may take a second.
_MOST_LIMITS: Final = 3


@dataclass(frozen=True, slots=True)
class Corpus:
    """Traces that a program runs without a finding.

    Args:
        traces: the traces; all invariants are checked after each operation.
    """

    traces: tuple[Trace, ...]

    @property
    def operations(self) -> int:
        """The number of operations of all traces."""
        return sum(len(trace) for trace in self.traces)

    @classmethod
    def of(
        cls, program: HuntedProgram, seed: int, operations: int, harmless: Container[str]
    ) -> Corpus:
        """Return random traces of at least so many operations that the program runs.

        A trace that ends the program is cut short before the operation that ends it; an invariant
        that leaves memory as UMA takes it to be is left out of it instead.

        Args:
            program: the program; its ``counted`` is set here.
            seed: the seed of the traces.
            operations: the number of operations, also of those that are cut off.
            harmless: names of the invariants that can be left out.

        Raises:
            InfraError: the host failed.
        """
        trial = _Trial(program, harmless)
        program.counted = trial.count
        traces: list[Trace] = []
        number = tried = 0
        while tried < operations:
            whole, trace = trial.kept(f"{seed}/{number}")
            tried += max(1, whole)
            number += 1
            if trace is not None:
                traces.append(trace)
        return cls(tuple(traces))

    def first_finding(
        self, program: HuntedProgram, is_finding: Callable[[HostEnding], bool]
    ) -> HostEnding | None:
        """Return the first finding of a changed program, else its first limit, else None.

        Args:
            program: the program.
            is_finding: returns whether an ending is a finding.

        Raises:
            InfraError: the host failed.
        """
        limits: list[HostEnding] = []
        for trace in self.traces:
            ending = program.again(trace, closely=True)
            if ending is None:
                continue
            if is_finding(ending):
                return ending
            limits.append(ending)
            if len(limits) == _MOST_LIMITS:
                break
        return limits[0] if limits else None


@dataclass(slots=True)
class _Trial:
    """Tries random traces.

    Args:
        program: runs them.
        harmless: names of the invariants that can be left out.
    """

    program: HuntedProgram
    harmless: Container[str]
    _done: int = 0

    def count(self) -> None:
        """Count an operation."""
        self._done += 1

    def kept(self, seed: str) -> tuple[int, Trace | None]:
        """Return the length of a random trace, and what of it the program runs; None: nothing."""
        left_out: tuple[str, ...] = ()
        while True:
            trace, ending = self._tried(seed, left_out)
            if trace is None or ending is None:
                return len(trace or ()), trace
            name = ending.text.partition(":")[0]
            can_be_left_out = ending.kind is EndingKind.INVARIANT and name in self.harmless
            if can_be_left_out and name not in left_out:
                left_out = (*left_out, name)
                continue
            head = trace.head(self._done)
            runs = self._done > 0 and self.program.again(head, closely=True) is None
            return len(trace), head if runs else None

    def _tried(
        self, seed: str, left_out: tuple[str, ...]
    ) -> tuple[Trace | None, HostEnding | None]:
        """Return a random trace, and what it ends the program with, if anything."""
        rng, trace = random.Random(seed), None  # noqa: S311 - to be repeated
        self._done = 0
        try:
            with self.program.copied() as subject:
                subject.left_out = left_out
                trace = subject.random_trace(rng)
                subject.run_closely(trace)
        except (ChannelEnded, Nonsense) as ended:
            return trace, self.program.ending(ended)
        return trace, None
