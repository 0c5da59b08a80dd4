"""Lines of consoles for pages: the place of a failure, and the difference from a good boot. Pure.

Consoles are output of guests: any bytes, lines of any length. What is returned is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from harness.printable import printable

#: Lines of a console before and after the place of the failure.
_BEFORE: Final = 40
_AFTER: Final = 60

#: Characters of a line.
_WIDTH: Final = 400

#: Bytes before and after the place of which lines are read; those of a boot are far fewer.
_BYTES: Final = 128 * 1024

#: Lines that are compared, and lines that are shown of a part that only the good console has.
_COMPARED: Final = 2000
_SHOWN: Final = 12

#: Lines after the place that belong to the failure.
_FAILURE: Final = 30

#: The beginning of lines of the harness's own init, whose contents stand in the record.
_OWN: Final = "@harness "

#: Numbers and addresses, which differ between any two boots.
_VARYING: Final = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)*")

#: Escape sequences of terminals (ECMA-48), which no page can show.
_CONTROLS: Final = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)|[@-Z\\^_])"
)


@dataclass(frozen=True, slots=True)
class ConsoleLine:
    """A line of a console.

    Args:
        text: printable, at most 400 characters.
        marked: whether the failure is in it.
    """

    text: str
    marked: bool = False


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line of a difference.

    Args:
        sign: ``+`` only in the failing boot, ``-`` only in the good one, `` `` in both,
            ``…`` for left-out lines.
        text: the line.
    """

    sign: str
    text: str


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Lines around the place of a failure, or the last lines.

    Args:
        lines: the lines.
        before: whether lines before them are left out.
        after: whether lines after them are left out.
    """

    lines: tuple[ConsoleLine, ...]
    before: bool
    after: bool


def excerpt_of(console: bytes, offset: int | None) -> Excerpt:
    """Return the lines around an offset in bytes, or the last lines if it is None."""
    middle = len(console) if offset is None else min(max(offset, 0), len(console))
    middle = console.rfind(b"\n", 0, middle) + 1 if offset is not None else middle
    start, end = max(0, middle - _BYTES), min(len(console), middle + _BYTES)
    before = list(_lines(console[start:middle]))
    after = list(_lines(console[middle:end]))
    count = _BEFORE if offset is not None else _BEFORE + _AFTER
    marked = [ConsoleLine(text, marked=place == 0) for place, text in enumerate(after[:_AFTER])]
    lines = (*map(ConsoleLine, before[-count:]), *marked)
    return Excerpt(
        lines, start > 0 or len(before) > count, end < len(console) or len(after) > _AFTER
    )


def difference(good: bytes, bad: bytes, offset: int | None) -> tuple[DiffLine, ...]:
    """Return how a failing boot's console differs from a good one's, up to the failure.

    Lines that differ only in numbers and addresses count as equal.

    Args:
        good: the console of the last good boot.
        bad: the console of the failing boot.
        offset: the place of the failure in ``bad``, in bytes; None: its end.
    """
    end = len(bad) if offset is None else min(max(offset, 0), len(bad))
    failing = [*_lines(bad[max(0, end - _BYTES) : end])][-_COMPARED:]
    failing += [*_lines(bad[end : end + _BYTES // 8])][:_FAILURE]
    passing = [*_lines(good[:_BYTES])][: 2 * _COMPARED]
    failing, passing = (
        [each for each in lines if not each.startswith(_OWN)] for lines in (failing, passing)
    )
    keys = [_VARYING.sub("0", line) for line in passing], [_VARYING.sub("0", x) for x in failing]
    matcher = SequenceMatcher(None, *keys)
    groups = list(matcher.get_grouped_opcodes(3))
    found: list[DiffLine] = []
    for number, group in enumerate(groups):
        if number or group[0][3]:
            found.append(DiffLine("…", ""))
        for tag, first, last, start, stop in group:
            if tag == "equal":
                found += [DiffLine(" ", line) for line in failing[start:stop]]
                continue
            found += _shortened("-", passing[first:last])
            found += _shortened("+", failing[start:stop], most=3 * _SHOWN)
    return tuple(found)


def whole_text(console: bytes) -> str:
    """Return all lines of a console, escaped."""
    return "".join(f"{line}\n" for line in _lines(console))


def _shortened(sign: str, lines: Sequence[str], most: int = _SHOWN) -> list[DiffLine]:
    found = [DiffLine(sign, line) for line in lines[:most]]
    left = len(lines) - most
    if left > 0:
        found.append(DiffLine("…", f"{left} more lines with {sign}"))
    return found


def _lines(data: bytes) -> Iterator[str]:
    """Generate the lines that are not empty, without terminals' escape sequences."""
    for line in data.split(b"\n"):
        cut = _CONTROLS.sub(b"", line[: 4 * _WIDTH]).strip(b"\r")
        if cut:
            text = printable(cut.decode("utf-8", "replace").expandtabs())
            yield text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
