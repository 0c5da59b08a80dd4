"""Finds the lines worth reading, at the speed of memory."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heapreplace

from harness.console.lines import CONTROL_MARK, marked_controls


def needles_of(texts: Iterable[str]) -> tuple[bytes, ...]:
    """What to look for so that no line with one of ``texts`` is missed."""
    encoded = {text.encode() for text in texts}
    return tuple(
        sorted(
            needle
            for needle in encoded
            if not any(other != needle and other in needle for other in encoded)
        )
    )


class Search:
    """Finds the lines worth reading in ``data``; looks for each needle once over all of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._marks = marked_controls(data)
        self._control = -1
        self._needles: tuple[bytes, ...] = ()
        self._next: list[tuple[int, bytes]] = []  # a heap: where each needle stands next
        self._found: dict[bytes, int] = {}  # the same for all needles ever looked for

    def next_line(self, position: int, needles: tuple[bytes, ...]) -> int:
        """Where the next line begins, at or after ``position``, that holds a needle or a control
        character; the length of the data if there is none. ``position`` begins a line.
        """
        hit = min(self._next_control(position), self._next_needle(position, needles))
        if hit == len(self._data):
            return hit
        rfind = self._data.rfind
        return max(position, rfind(b"\n", position, hit) + 1, rfind(b"\r", position, hit) + 1)

    def take_line(self, position: int, end: int, needles: tuple[bytes, ...]) -> list[bytes] | None:
        """The needles in the line from ``position`` to ``end``, which are looked for behind it
        from now on; None if the line holds a control character.
        """
        if self._next_control(position) < end:
            return None
        taken: list[bytes] = []
        if self._next_needle(position, needles) < end:
            while self._next and self._next[0][0] < end:
                at, needle = self._next[0]
                if at >= position:
                    taken.append(needle)
                self._advance(needle, end if at >= position else position)
        return taken

    def _next_needle(self, position: int, needles: tuple[bytes, ...]) -> int:
        if needles is not self._needles:
            self._needles = needles
            found = ((self._found.get(needle, -1), needle) for needle in needles)
            self._next = sorted(place for place in found if place[0] < len(self._data))
        while self._next and self._next[0][0] < position:
            self._advance(self._next[0][1], position)
        return self._next[0][0] if self._next else len(self._data)

    def _advance(self, needle: bytes, position: int) -> None:
        """Looks for the needle that stood first at or after ``position``."""
        at = self._data.find(needle, position)
        if at < 0:
            self._found[needle] = len(self._data)
            heappop(self._next)
        else:
            self._found[needle] = at
            heapreplace(self._next, (at, needle))

    def _next_control(self, position: int) -> int:
        if self._control < position:
            found = self._marks.find(CONTROL_MARK, position)
            self._control = found if found >= 0 else len(self._data)
        return self._control
