"""The protocol of the check module (``images/kmod/README.md``). Pure.

Answers of a guest are untrusted: they match a strict grammar, or raise ``Nonsense``.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from harness.console.probe import MARK, ProbeLineError, parse_line

if TYPE_CHECKING:
    from harness.console.events import ProbeRecord

#: The number at which commands wrap; the guest answers lines that it cannot read with 9999.
NUMBERS: Final = 9999

#: Maximum length of a line from the guest, in bytes.
MAX_LINE: Final = 1100

#: Maximum length of a batch's commands: a guest takes lines of 1024 bytes.
_BATCH_BYTES: Final = 900
_FIRST_FORM: Final = ord("a")
_MOST_FORMS: Final = 26
_VALUE = re.compile(r"(?<==)([0-9A-Za-z.]*)(?![^ ])", re.ASCII)

_BYTES = re.compile(r"(?:[0-9a-f]{2})*", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)


class Nonsense(ValueError):  # noqa: N818 - a conclusion about the guest, not an error here
    """An invalid answer."""


def line(number: int, command: str) -> bytes:
    """Return the line of a command."""
    body = f"{number:04} {command}"
    return f"{MARK}{body} *{zlib.crc32(body.encode()):08x}\n".encode()


def batches(number: int, commands: Sequence[str]) -> Iterator[bytes]:
    """Generate the lines of several commands, as few as there can be.

    In a batch, commands that differ in their values alone are told by one form and the values:
    ``batch a=free slot=% cpu=%;a3,0;a7,1``.

    Args:
        number: the number of the first; those of the others follow.
        commands: the commands, without semicolons and percent signs.
    """
    forms: dict[str, str] = {}
    parts: list[str] = []
    first, size = number, 0
    for place, command in enumerate(commands):
        form, values = _VALUE.sub("%", command), _VALUE.findall(command)
        added = [] if form in forms else [f"{chr(_FIRST_FORM + len(forms))}={form}"]
        letter = added[0][0] if added else forms[form]
        added.append(letter + ",".join(values))
        length = sum(map(len, added)) + len(added)
        if parts and (size + length > _BATCH_BYTES or len(forms) == _MOST_FORMS):
            yield line(first, f"batch {';'.join(parts)}")
            forms, parts, first, size = {}, [], (number + place) % NUMBERS, 0
            added = [f"a={form}", f"a{','.join(values)}"]
            letter, length = "a", sum(map(len, added)) + len(added)
        forms[form] = letter
        parts += added
        size += length
    if parts:
        yield line(first, f"batch {';'.join(parts)}")


def read_record(text: bytes) -> ProbeRecord:
    """Return the record in a line from the guest.

    Raises:
        Nonsense: the line is not a valid record.
    """
    decoded = text.decode("ascii", "replace")
    if not decoded.startswith(MARK):
        raise Nonsense(f"not an answer: {decoded[:80]!r}")
    try:
        return parse_line(decoded, 0)
    except ProbeLineError as error:
        raise Nonsense(f"{error}: {decoded[:80]!r}") from error


def error_of(record: ProbeRecord) -> str | None:
    """Return why the guest refused a command; None if it did not."""
    return dict(record.fields).get("why", "unknown") if record.name == "error" else None


def read_number(record: ProbeRecord, key: str) -> int:
    """Return a number in a record.

    Raises:
        Nonsense: the record has no such key, or its value is not a number.
    """
    return number_in(dict(record.fields), key)


def read_bytes(record: ProbeRecord, key: str) -> bytes:
    """Return the bytes of a hexadecimal field of a record.

    Raises:
        Nonsense: the record has no such key, or its value is not hexadecimal.
    """
    fields = dict(record.fields)
    if key not in fields:
        raise Nonsense(f"an answer without {key}")
    return bytes.fromhex(matched(_BYTES, fields[key])[0])


def number_in(fields: Mapping[str, str], key: str) -> int:
    """Return a number in the fields of a record.

    Raises:
        Nonsense: there is no such key, or its value is not a number.
    """
    if key not in fields:
        raise Nonsense(f"an answer without {key}")
    return int(matched(_NUMBER, fields[key])[0])


def matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    """Return the match of a value with a pattern.

    Raises:
        Nonsense: the value does not match.
    """
    found = pattern.fullmatch(text)
    if found is None:
        raise Nonsense(f"invalid value: {text[:80]!r}")
    return found
