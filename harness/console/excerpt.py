"""Excerpts of a console for reports: the lines around a failure, or the last ones."""

from __future__ import annotations

from pathlib import Path
from typing import Final

#: Lines before and after the offset.
_BEFORE: Final = 6
_AFTER: Final = 18
_CHARACTERS: Final = 200

#: Bytes to read before and after the offset, enough for these lines.
_BYTES: Final = (_BEFORE + _AFTER) * _CHARACTERS


def excerpt(log: Path, offset: int | None) -> tuple[str, ...]:
    """Return the lines around an offset in a console log; without an offset, the last lines.

    Lines are cut to 200 characters; bytes other than printable ASCII are escaped. The result is
    empty if the log cannot be read.
    """
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            middle = size if offset is None else min(offset, size)
            start = max(0, middle - _BYTES)
            file.seek(start)
            data = file.read(middle - start + _BYTES)
    except OSError:
        return ()
    before, after = data[: middle - start], data[middle - start :]
    # The line that contains the offset counts as after it.
    cut = before.rfind(b"\n") + 1
    before, after = before[:cut], before[cut:] + after
    count = _BEFORE if offset is not None else _BEFORE + _AFTER
    lines = [*_lines(before)[-count:], *_lines(after)[:_AFTER]]
    return tuple(_escaped(line) for line in lines)


def _lines(data: bytes) -> list[bytes]:
    lines = (line.strip(b"\r") for line in data.split(b"\n"))
    return [line for line in lines if line]


def _escaped(line: bytes) -> str:
    text = "".join(
        chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in line[:_CHARACTERS]
    )
    return text + ("..." if len(line) > _CHARACTERS else "")
