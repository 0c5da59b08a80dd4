"""What changed code is held to: a variant of the model, and where it was taken from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from harness.subsystems.uma.model.variants import Variant

#: The form below a tree's changes, with the commit.
AUTO: Final = "auto"
#: The tree's own form, changes included.
AS_BUILT: Final = "as-built"


@dataclass(frozen=True, slots=True)
class Specification:
    """What a kernel is held to.

    Args:
        variant: of the model.
        asked: ``auto``, ``as-built``, a variant's name or a revision.
        why: where the variant comes from.
        changed: the functions of the two files that are not as in that text.
        diff: of those functions, unified.
    """

    variant: Variant
    asked: str = AUTO
    why: str = ""
    changed: tuple[str, ...] = ()
    diff: str = ""
