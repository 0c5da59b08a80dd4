"""A kernel as the user names it: a value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.source.change import Change
from harness.source.location import EMBEDDED

#: The mutant whose kernel is the one before the commit; the built-in guest has it as well.
BEFORE_MUTANT = "drop-commit"


@dataclass(frozen=True, slots=True)
class What:
    """A kernel as the user names it.

    Args:
        source: a tree, a git URL, or ``embedded``.
        change: the revision and what is changed on top.
        kernconf: a configuration's name or file; None for the slim one.
        kernel: a kernel file that is there already; all else is then not looked at.
    """

    source: str
    change: Change = field(default_factory=Change)
    kernconf: str | None = None
    kernel: Path | None = None

    @property
    def is_embedded(self) -> bool:
        """Whether the built-in guest is meant."""
        return self.kernel is None and self.source == EMBEDDED


def pair_of(what: What, before: Change | None, after: Change | None) -> tuple[What, What]:
    """The two sides of a comparison."""
    if what.is_embedded:
        return replace(what, change=Change(mutant=BEFORE_MUTANT)), what
    return replace(what, change=before or Change()), replace(what, change=after or Change())
