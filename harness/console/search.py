"""Search for the lines that contain a needle. Hyperscan finds all needles in one pass."""

from __future__ import annotations

import re
from collections.abc import Container
from functools import cache

import hyperscan

from harness.console.lines import CONTROL_MARK, LINE_END, marked_controls


class Needles:
    """Texts that are searched for in one pass. An object must not be shared between threads."""

    def __init__(self, texts: frozenset[str]) -> None:
        self._texts = tuple(sorted(texts))
        self._database = _database(self._texts)
        self._scratch = self._database.scratch.clone()

    def __deepcopy__(self, memo: object) -> Needles:
        """Return itself, as no state remains after a call."""
        return self

    def hits(self, data: bytes) -> list[tuple[int, str]]:
        """Return the end of each occurrence in ``data`` and its text, in order."""
        texts, hits = self._texts, list[tuple[int, str]]()

        def hit(number: int, start: int, end: int, flags: int, context: object) -> None:
            hits.append((end, texts[number]))

        self._database.scan(data, match_event_handler=hit, scratch=self._scratch)
        hits.sort()
        return hits


class Search:
    """Iterates over the relevant lines of ``data``, which ends with a line end, in one pass."""

    def __init__(self, data: bytes, needles: Needles) -> None:
        self._data = data
        self._hits = iter([*needles.hits(data), (len(data) + 1, "")])
        self._end, self._needle = next(self._hits)  # of the next hit
        self._marks = marked_controls(data)
        self._control = -1

    def line(
        self, position: int, needles: Container[str], *, every: bool
    ) -> tuple[int, int, list[str] | None] | None:
        """Return the next relevant line, or None after the last one.

        Args:
            position: the start of a line, where the search starts.
            needles: a line is relevant if it contains one of them, or a control character.
            every: all lines are relevant.

        Returns:
            The start of the line, the start of the next, and the needles in the line; None instead
            of needles if the line contains a control character.
        """
        data, size = self._data, len(self._data)
        while self._end <= position or (self._end <= size and self._needle not in needles):
            self._end, self._needle = next(self._hits)
        if self._control < position:
            found = self._marks.find(CONTROL_MARK, position)
            self._control = found if found >= 0 else size
        if every:
            start = _past_line_ends(data, position)
        else:
            start = self._line_of(min(self._control, self._end - 1), position)
        ended = LINE_END.search(data, start)
        if ended is None:
            return None
        after = ended.end()
        if self._control < after:
            return start, after, None
        taken: list[str] = []
        while self._end < after:
            if self._needle in needles:
                taken.append(self._needle)
            self._end, self._needle = next(self._hits)
        return start, after, taken

    def _line_of(self, hit: int, position: int) -> int:
        """Return the start of the line that contains ``hit``, at least ``position``."""
        if hit >= len(self._data):
            return len(self._data)
        rfind = self._data.rfind
        return max(position, rfind(b"\n", position, hit) + 1, rfind(b"\r", position, hit) + 1)


def _past_line_ends(data: bytes, position: int) -> int:
    while position < len(data) and data[position] in b"\r\n":
        position += 1
    return position


@cache
def _database(texts: tuple[str, ...]) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[re.escape(text.encode()) for text in texts],
        ids=list(range(len(texts))),
        elements=len(texts),
    )
    return database
