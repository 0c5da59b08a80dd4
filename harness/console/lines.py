"""Lines of text from bytes: line ends, cursor movements, erased and control characters.

Firmware and loader write for a terminal: they clear the screen in the middle of a line and draw
a spinner that the next message overwrites. A line here ends with a line feed, a carriage return,
a cleared screen or a cursor movement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LINE_END = re.compile(rb"[\r\n]")
_CONTROLS = bytes(b for b in range(0x20) if b not in b"\t\n\r") + b"\x7f"
CONTROL_MARK = b"\0"
_PLAIN = bytes(byte for byte in range(256) if byte not in _CONTROLS)
_MARK_CONTROLS = bytes(0 if byte in _CONTROLS else 0x20 for byte in range(256))

_BACKSPACE = 0x08
_INVISIBLE = bytes(byte for byte in range(0x20) if byte not in b"\t\x08") + b"\x7f"
# ECMA-48: a control sequence, a character set's choice, any other escape; cut short at the end
_ESCAPE = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*(?P<final>[@-~])|\[[0-?]*[ -/]*\Z|[()][ -~]?|[ -'*-Z\\-~]|\Z)"
)
_MOVES = frozenset(b"HfJ")

# Prefixes of console lines, of which several may be combined: the kernel's timestamp
# (kern.msgbuf_show_timestamp) and priority, syslogd(8)'s, those of CI systems and console servers.
_PREFIX = re.compile(
    r"(?:\[ *\d{1,12}(?:\.\d{1,9})?\] ?"
    r"|\[(?:[A-Z][a-z]{2} ){2}[ \d]\d \d\d:\d\d:\d\d(?: \d{4})?\] ?"
    r"|\[\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^\]]{0,32}\] ?"
    r"|<\d{1,3}>(?:1 )?"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)? "
    r"|\d\d:\d\d:\d\d(?:[.,]\d{1,9})? "
    r"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (?:\S{1,255} )?kernel(?:\[\d{1,9}\])?: "
    r"|\S{1,255} kernel(?:\[\d{1,9}\])?(?:: | - - - )){1,6}",
    re.ASCII,
)
_MAY_HAVE_PREFIX = re.compile(r"[\[<\d]|[A-Z][a-z]{2} [ \d]\d ", re.ASCII)


def marked_controls(data: bytes) -> bytes:
    """Return ``data`` with CONTROL_MARK for each control character, and blanks for all others."""
    return data.translate(_MARK_CONTROLS)


def without_prefix(text: str) -> str:
    """Return a line without the timestamps and names that a log adds before it."""
    if not _MAY_HAVE_PREFIX.match(text):
        return text
    found = _PREFIX.match(text)
    return text[found.end() :] if found else text


def split_line(raw: bytes, offset: int) -> Iterator[tuple[str, int]]:
    """Generate the lines of text in ``raw``, which has no line end, with their offsets in bytes."""
    if not raw.translate(None, _PLAIN):
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
    shown = _ESCAPE.sub(b"", raw).translate(None, _INVISIBLE)
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
