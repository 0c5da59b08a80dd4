"""Backtraces as lines of a page. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from harness.results.record import backtrace_lines

#: Frames that a page shows.
_MOST: Final = 40


def frame_lines(frames: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a backtrace, innermost frame first.

    Args:
        frames: ``SymbolizedFrame`` as JSON documents.
    """
    lines = backtrace_lines([*frames])
    left = len(lines) - _MOST
    return [*lines[:_MOST], *([f"… {left} more frames"] if left > 0 else [])]
