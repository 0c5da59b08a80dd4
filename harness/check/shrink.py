"""Makes a trace that shows something as short as it can be. Pure, but for what it asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from harness.check.subject import Trace

T = TypeVar("T", bound="Trace")


def shrink(trace: T, shows: Callable[[T], bool], attempts: int) -> T:
    """A shorter trace that still ``shows`` it, if there is one.

    Delta debugging (Zeller and Hildebrandt's ddmin, complements only): ever smaller parts are
    left out, until no single operation can be.

    Args:
        trace: which shows it.
        shows: whether others do; asked at most ``attempts`` times.
        attempts: how often.
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
    """Where parts of that size begin, the last ones first: what matters is near the end."""
    return range(max(0, (length - 1) // size * size), -1, -size)
