"""What to build of a tree: a value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Change:
    """What to build of a tree.

    Args:
        revision: a git revision; None takes the tree as it stands, uncommitted
            changes included.
        patch: a patch file applied on top.
        mutant: the name of a mutant applied on top (see ``harness.mutation.mutant``).
        option: by which the revision was given, for errors.
    """

    revision: str | None = None
    patch: Path | None = None
    mutant: str | None = None
    option: str = "--rev"

    @property
    def options(self) -> list[str]:
        """Those that the user gave for it."""
        given = {self.option: self.revision, "--patch": self.patch, "--mutant": self.mutant}
        return [option for option, value in given.items() if value is not None]
