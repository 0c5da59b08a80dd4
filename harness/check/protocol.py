"""What is said to a guest's check module, and what it answers; see ``images/kmod/README.md``. Pure.

What a guest answers is hostile: everything here is read by a strict grammar, or is ``Nonsense``.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from harness.console.probe import MARK, ProbeLineError, parse_line

if TYPE_CHECKING:
    from harness.console.events import ProbeRecord

#: Numbers of commands wrap here; 9999 is for lines that the guest could not read.
NUMBERS: Final = 9999

#: Bytes of the longest line that a guest may send.
MAX_LINE: Final = 1100

_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)


class Nonsense(ValueError):  # noqa: N818 - says what the guest talks
    """An answer that is none; the text says why."""


def line(number: int, command: str) -> bytes:
    """The bytes of a command."""
    body = f"{number:04} {command}"
    return f"{MARK}{body} *{zlib.crc32(body.encode()):08x}\n".encode()


def read_record(text: bytes) -> ProbeRecord:
    """The record in a line of the channel.

    Raises:
        Nonsense: there is none.
    """
    decoded = text.decode("ascii", "replace")
    if not decoded.startswith(MARK):
        raise Nonsense(f"a line that is no answer: {decoded[:80]!r}")
    try:
        return parse_line(decoded, 0)
    except ProbeLineError as error:
        raise Nonsense(f"{error}: {decoded[:80]!r}") from error


def error_of(record: ProbeRecord) -> str | None:
    """Why the guest could not do it; None if it could."""
    return dict(record.fields).get("why", "unknown") if record.name == "error" else None


def read_number(record: ProbeRecord, key: str) -> int:
    """A number of a record.

    Raises:
        Nonsense: it has none so called.
    """
    return number_in(dict(record.fields), key)


def number_in(fields: Mapping[str, str], key: str) -> int:
    """The same, of a record's fields."""
    if key not in fields:
        raise Nonsense(f"an answer without {key}")
    return int(matched(_NUMBER, fields[key])[0])


def matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    """What a value says by a grammar.

    Raises:
        Nonsense: it is not of that grammar.
    """
    found = pattern.fullmatch(text)
    if found is None:
        raise Nonsense(f"a value that is none: {text[:80]!r}")
    return found
