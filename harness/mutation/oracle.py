"""Oracles, which judge a mutant in turn until one kills it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.mutation.judgement import Judgement, MutantOutcome

if TYPE_CHECKING:
    from harness.kernel.artifact import KernelArtifact
    from harness.mutation.mutant import Mutant


@dataclass(frozen=True, slots=True)
class Caught:
    """The kernel differs from a correct one.

    Args:
        seconds: total time of its guests.
        why: what was found, in one line.
    """

    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Survived:
    """The oracle found no fault in ``seconds``, the total time of its guests."""

    seconds: float


class Oracle(Protocol):
    """Distinguishes wrong kernels from correct ones. Several threads may call it at once."""

    @property
    def name(self) -> str:
        """One word, which tables show."""
        ...

    def judge(self, kernel: KernelArtifact) -> Caught | Survived:
        """Judge a kernel.

        Raises:
            InfraError: the host failed, so there is no result.
        """
        ...


def judged(mutant: Mutant, kernel: KernelArtifact, oracles: Sequence[Oracle]) -> Judgement:
    """Return the result of the first oracle that kills the mutant, or that it survived all.

    Raises:
        InfraError: the host failed.
    """
    seconds = 0.0
    for oracle in oracles:
        found = oracle.judge(kernel)
        seconds += found.seconds
        if isinstance(found, Caught):
            return judgement(mutant, MutantOutcome.CAUGHT, found.why, oracle.name, seconds)
    return judgement(mutant, MutantOutcome.SURVIVED, seconds=seconds)


def judgement(
    mutant: Mutant, fate: MutantOutcome, why: str = "", oracle: str = "", seconds: float = 0.0
) -> Judgement:
    """Return the result of a mutant, with the mutant's own name and reason."""
    return Judgement(
        mutant.name, fate, oracle, round(seconds, 1), why,
        mutant.equivalent,
    )  # fmt: skip
