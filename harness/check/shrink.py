"""Shrinking of traces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, Self, TypeVar


class Shrinkable(Protocol):
    """A sequence that parts can be removed from, such as a trace."""

    def __len__(self) -> int:
        """Return the number of its parts."""

    def without(self, dropped: frozenset[int]) -> Self:
        """Return it without some of its parts, by index."""


T = TypeVar("T", bound=Shrinkable)


def shrink(trace: T, shows: Callable[[T], bool], attempts: int) -> T:
    """Return the shortest trace found that still ``shows`` a difference.

    Delta debugging (Zeller and Hildebrandt's ddmin, complements only): smaller and smaller parts
    are removed, until no single operation can be.

    Args:
        trace: a trace that shows the difference.
        shows: returns whether another trace shows it.
        attempts: maximum number of calls of ``shows``.
    """
    size = max(1, len(trace) // 2)
    left = attempts
    while left > 0:
        found = None
        for start in _starts(len(trace), size):
            candidate = trace.without(frozenset(range(start, start + size)))
            left -= 1
            if shows(candidate):
                found = candidate
                break
            if left == 0:
                break
        if found is not None:
            trace = found
            size = min(size, max(1, len(trace) // 2))
        elif size == 1:
            break
        else:
            size //= 2
    return trace


def _starts(length: int, size: int) -> Sequence[int]:
    """Return the starts of parts of a size, the last first, as the difference is at the end."""
    return range(max(0, (length - 1) // size * size), -1, -size)
