"""Which patterns and needles are looked for at the moment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from harness.console.patterns import PROMPTS
from harness.console.search import needles_of

if TYPE_CHECKING:
    from harness.console.pattern import Pattern


@dataclass(frozen=True, slots=True)
class Table:
    """The patterns of a parser, in the order of their priority."""

    patterns: tuple[Pattern, ...]

    def __deepcopy__(self, memo: object) -> Table:
        """Itself, as it never changes."""
        return self


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: patterns, each behind its needle, and the needles of all lines worth
    reading, those of prompts included.
    """

    patterns: tuple[tuple[str, Pattern], ...]
    needles: tuple[bytes, ...]

    def __deepcopy__(self, memo: object) -> Wanted:
        """Itself, as it never changes."""
        return self


@cache
def wanted(table: Table, spent: frozenset[str], *, before_kernel: bool) -> Wanted:
    """What is looked for, once the patterns and prompts named in ``spent`` are not any more."""
    patterns = tuple(
        (pattern.needle, pattern)
        for pattern in table.patterns
        if pattern.name not in spent and (before_kernel or not pattern.before_kernel_only)
    )
    prompts = (
        prompt.text
        for prompt in PROMPTS
        if prompt.text not in spent and (before_kernel or not prompt.before_kernel_only)
    )
    return Wanted(patterns, needles_of([*(needle for needle, _ in patterns), *prompts]))
