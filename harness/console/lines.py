"""From bytes to lines of text: line ends, cursor movements, erased and control characters.

Firmware and loader write for a terminal: they clear the screen in the middle of a line and draw
a spinner that the next message overwrites. A line here is what stands between two of: line feed,
carriage return, clearing the screen, moving the cursor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LINE_END = re.compile(rb"[\r\n]")
CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""What makes a line need more than decoding."""

_BACKSPACE = 0x08
_UNSEEN = bytes(byte for byte in range(0x20) if byte not in b"\t\x08") + b"\x7f"
# ECMA-48: a control sequence, a character set's choice, any other escape; cut short at the end
_ESCAPE = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*(?P<final>[@-~])|\[[0-?]*[ -/]*\Z|[()][ -~]?|[ -'*-Z\\-~]|\Z)"
)
_MOVES = frozenset(b"HfJ")


def split_line(raw: bytes, offset: int) -> Iterator[tuple[str, int]]:
    """The lines of text in ``raw``, which holds no line end, each with its offset in bytes."""
    if not CONTROL.search(raw):
        yield raw.decode("utf-8", "replace"), offset
        return
    start = 0
    for escape in _ESCAPE.finditer(raw):
        final = escape["final"]
        if final and final[0] in _MOVES:
            yield _visible(raw[start : escape.start()]), offset + start
            start = escape.end()
    yield _visible(raw[start:]), offset + start


def _visible(raw: bytes) -> str:
    shown = _ESCAPE.sub(b"", raw).translate(None, _UNSEEN)
    if _BACKSPACE in shown:
        shown = _erase(shown)
    return shown.decode("utf-8", "replace")


def _erase(raw: bytes) -> bytes:
    kept = bytearray()
    for byte in raw:
        if byte != _BACKSPACE:
            kept.append(byte)
        elif kept:
            kept.pop()
    return bytes(kept)
