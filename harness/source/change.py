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
    """

    revision: str | None = None
    patch: Path | None = None
    mutant: str | None = None
