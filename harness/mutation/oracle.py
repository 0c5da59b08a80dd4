"""Mutants judged by oracles in turn: which of them catches it, and after how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from harness.mutation.fate import Fate, Judgement

if TYPE_CHECKING:
    from harness.kernel.artifact import KernelArtifact
    from harness.mutation.mutant import Mutant


@dataclass(frozen=True, slots=True)
class Caught:
    """The kernel is not what it should be.

    Args:
        seconds: that its guests took to show it.
        why: what was seen, in one line.
    """

    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Survived:
    """Nothing is wrong with the kernel as far as an oracle can see; ``seconds`` of its guests."""

    seconds: float


class Oracle(Protocol):
    """Tells wrong kernels from right ones. It may be asked by several threads at once."""

    @property
    def name(self) -> str:
        """What it is called in tables: one word."""
        ...

    def judge(self, kernel: KernelArtifact) -> Caught | Survived:
        """Look at a kernel.

        Raises:
            InfraError: the host failed, which says nothing of the kernel.
        """
        ...


def judged(mutant: Mutant, kernel: KernelArtifact, oracles: Sequence[Oracle]) -> Judgement:
    """Show the mutant's kernel to one oracle after the other, until one catches it.

    Raises:
        InfraError: the host failed.
    """
    seconds = 0.0
    for oracle in oracles:
        found = oracle.judge(kernel)
        seconds += found.seconds
        if isinstance(found, Caught):
            return judgement(mutant, Fate.CAUGHT, found.why, oracle.name, seconds)
    return judgement(mutant, Fate.SURVIVED, seconds=seconds)


def judgement(
    mutant: Mutant, fate: Fate, why: str = "", oracle: str = "", seconds: float = 0.0
) -> Judgement:
    """That fate, with what the mutant says of itself."""
    return Judgement(
        mutant.name, fate, oracle, round(seconds, 1), why,
        mutant.equivalent,
    )  # fmt: skip
