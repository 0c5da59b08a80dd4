"""Results of mutants, as records store them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class MutantOutcome(StrEnum):
    """The result of a mutant. Records contain the values; reports print ``TERMS``."""

    CAUGHT = "caught"
    SURVIVED = "survived"
    ABSENT = "not in this tree"
    UNBUILT = "does not build"
    ENDED = "ended"
    """a signal, a loop or a limit of the host ended the program: nothing is known of the mutant"""
    HOST_FAILED = "host failed"


#: The terms that reports print, if they differ from the values.
TERMS: Mapping[str, str] = MappingProxyType(
    {MutantOutcome.CAUGHT: "killed", MutantOutcome.ABSENT: "not applicable"}
)


class Survival(StrEnum):
    """Why a generated mutant survives."""

    SAME_CODE = "same object code"
    """it compiles to the same object code, so that it is equivalent"""
    BY_ARGUMENT = "by argument"
    """a recorded reason says that it is equivalent or unreachable"""
    NOT_REACHED = "not reached"
    """nothing that it was checked with executes what is changed"""
    NOT_OBSERVED = "not observed"
    """it is executed, and no check shows a difference"""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result of one mutant.

    Args:
        mutant: its name.
        fate: the result.
        oracle: the name of the oracle that killed it; empty if none did.
        seconds: total time of its guests, over all oracles.
        why: what the oracle found, or why the mutant was not judged.
        equivalent: why it is equivalent to the unchanged kernel; empty if it is not.
        survival: why a generated mutant survives; empty if that is not known.
        digests: of a generated mutant that survives: of its function and its change, for a recorded
            reason.
    """

    mutant: str
    fate: MutantOutcome
    oracle: str = ""
    seconds: float = 0.0
    why: str = ""
    equivalent: str = ""
    survival: str = ""
    digests: tuple[str, ...] = ()

    @property
    def is_generated(self) -> bool:
        """Whether the mutant was generated, and named by its ordinal."""
        return "#" in self.mutant

    @property
    def as_it_should_be(self) -> bool:
        """Whether the mutant was killed, or survived with a recorded reason, or does not apply.

        A mutant that is recorded as equivalent must survive. Nothing else is expected of a
        generated one.
        """
        if self.is_generated:
            is_wrongly_recorded = self.fate is MutantOutcome.CAUGHT and bool(self.equivalent)
            return self.fate is not MutantOutcome.HOST_FAILED and not is_wrongly_recorded
        if self.fate is MutantOutcome.CAUGHT:
            return not self.equivalent
        return self.fate is MutantOutcome.ABSENT or (
            self.fate is MutantOutcome.SURVIVED and bool(self.equivalent)
        )
