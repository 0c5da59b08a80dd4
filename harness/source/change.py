"""The revision of a tree to build, and the changes applied to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Change:
    """The revision of a tree to build, and the changes applied to it.

    Args:
        revision: a git revision; None: the tree with its uncommitted changes.
        patch: a patch file to apply.
        mutant: the name of a mutant to apply (``harness.mutation.mutant``).
        option: the option with which the revision was given, for errors.
        assumed: named cases (``harness.cases``) whose fix is applied, in this order.
    """

    revision: str | None = None
    patch: Path | None = None
    mutant: str | None = None
    option: str = "--rev"
    assumed: tuple[str, ...] = ()

    @property
    def options(self) -> list[str]:
        """The options that the user gave."""
        given = {
            self.option: self.revision, "--patch": self.patch, "--mutant": self.mutant,
            "--assume": self.assumed or None,
        }  # fmt: skip
        return [option for option, value in given.items() if value is not None]
