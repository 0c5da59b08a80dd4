"""The patterns and needles that the parser searches for at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from harness.console.lines import LINE_END, split_line, without_prefix
from harness.console.pattern import Match, clip
from harness.console.patterns import PROMPTS
from harness.console.search import Needles

if TYPE_CHECKING:
    from harness.console.pattern import Pattern


MAX_BEFORE = 2
"""Lines before a panic that are kept."""

Candidates = Collection[tuple[str, "Pattern"]]


@dataclass(frozen=True, slots=True)
class PatternTable:
    """The patterns of a parser, in order of priority."""

    patterns: tuple[Pattern, ...]

    def needles(self) -> Needles:
        """Return the needles of all patterns and prompts."""
        texts = (pattern.needle for pattern in self.patterns)
        return Needles(frozenset([*texts, *(prompt.text for prompt in PROMPTS)]))

    def __deepcopy__(self, memo: object) -> PatternTable:
        """Return itself, as it is immutable."""
        return self


@dataclass(frozen=True, slots=True)
class ActivePatterns:
    """The patterns to search for.

    Args:
        patterns: pairs of needle and pattern, in order of priority.
        behind: for each needle, those of prompts included, the patterns that only a line with it
            can match, by their index.
    """

    patterns: tuple[tuple[str, Pattern], ...]
    behind: dict[str, dict[int, tuple[str, Pattern]]]

    def candidates(self, found: list[str]) -> Candidates:
        """Return the patterns that a line containing these needles can match."""
        if len(found) == 1:
            return self.behind[found[0]].values()
        candidates = {index: x for needle in found for index, x in self.behind[needle].items()}
        return [candidates[index] for index in sorted(candidates)]

    def __deepcopy__(self, memo: object) -> ActivePatterns:
        """Return itself, as it is immutable."""
        return self


def first_match(text: str, candidates: Candidates) -> tuple[Pattern, Match] | None:
    """Return the first pattern that the line matches, and the match."""
    for needle, pattern in candidates:
        if needle in text:
            found = pattern.regex.search(text)
            if found:
                return pattern, found
    return None


def last_unknown_lines(data: bytes, candidates: Candidates) -> tuple[str, ...]:
    """Return the last lines of ``data`` that match no pattern, oldest first, at most MAX_BEFORE."""
    lines: list[str] = []
    for raw in reversed(LINE_END.split(data)):
        for part, _ in reversed(tuple(split_line(raw, 0))):
            text = without_prefix(part)
            if text and not text.isspace():
                if len(lines) == MAX_BEFORE or first_match(text, candidates):
                    return tuple(reversed(lines))
                lines.append(clip(text))
    return tuple(reversed(lines))


@cache
def active_patterns(
    table: PatternTable, spent: frozenset[str], *, before_kernel: bool
) -> ActivePatterns:
    """Return the patterns to search for, without the patterns and prompts in ``spent``."""
    patterns = tuple(
        (pattern.needle, pattern)
        for pattern in table.patterns
        if pattern.name not in spent and (before_kernel or not pattern.before_kernel_only)
    )
    behind: dict[str, dict[int, tuple[str, Pattern]]] = {
        prompt.text: {}
        for prompt in PROMPTS
        if prompt.text not in spent and (before_kernel or not prompt.before_kernel_only)
    }
    for index, each in enumerate(patterns):
        behind.setdefault(each[0], {})[index] = each
    return ActivePatterns(patterns, behind)
