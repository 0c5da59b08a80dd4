"""What becomes of a mutant: values that stand in the record."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """What becomes of a mutant."""

    CAUGHT = "caught"
    SURVIVED = "survived"
    ABSENT = "not in this tree"
    UNBUILT = "does not build"
    HOST_FAILED = "host failed"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a mutant.

    Args:
        mutant: its name.
        fate: what became of it.
        oracle: that caught it.
        seconds: of guests, over all oracles that looked at it.
        why: what the oracle saw, or why there is nothing to judge.
        equivalent: why it may survive, as the mutant itself says: no kernel can behave otherwise.
    """

    mutant: str
    fate: Fate
    oracle: str = ""
    seconds: float = 0.0
    why: str = ""
    equivalent: str = ""

    @property
    def as_it_should_be(self) -> bool:
        """Caught if it can be, and survived only with a reason."""
        if self.fate is Fate.CAUGHT:
            return not self.equivalent
        return self.fate is Fate.ABSENT or (self.fate is Fate.SURVIVED and bool(self.equivalent))
