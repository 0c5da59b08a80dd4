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
    """

    mutant: str
    fate: MutantOutcome
    oracle: str = ""
    seconds: float = 0.0
    why: str = ""
    equivalent: str = ""

    @property
    def is_generated(self) -> bool:
        """Whether the mutant was generated, and named by its ordinal."""
        return "#" in self.mutant

    @property
    def as_it_should_be(self) -> bool:
        """Whether the mutant was killed, or survived with a recorded reason, or does not apply.

        A mutant that is recorded as equivalent must survive. Of a generated one nothing is
        expected.
        """
        if self.is_generated:
            return self.fate is not MutantOutcome.HOST_FAILED
        if self.fate is MutantOutcome.CAUGHT:
            return not self.equivalent
        return self.fate is MutantOutcome.ABSENT or (
            self.fate is MutantOutcome.SURVIVED and bool(self.equivalent)
        )
