"""The guest's own report: its lines, and the report they make.

One record a line, anywhere on it: ``@harness NNNN name key=value ... *CCCCCCCC``, where NNNN counts
from 0000 and CCCCCCCC is the CRC-32 (IEEE) of what lies between ``@harness `` and `` *``. Values
are percent-encoded. The guest prints the whole report twice, as the kernel may print in between:
of each number the first line whose checksum holds counts.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from urllib.parse import unquote

from harness.console.events import Event, ProbeLineCorrupt, ProbeRecord, ReportComplete

MARK = "@harness "
MAX_LINE = 1024
"""Longer lines are none of ours (a record takes 200 characters at most)."""

_LINE = re.compile(r"(?P<body>(?P<number>\d{4}) [^*]{1,1000}) \*(?P<crc>[0-9a-f]{8})", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_FIELD = re.compile(r"(?P<key>[a-z][a-z0-9_]*)=(?P<value>[A-Za-z0-9._:,/+%-]*)", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)


class ProbeLineError(ValueError):
    """A line that is no record; the text says why."""


def parse_line(text: str, offset: int) -> ProbeRecord:
    """The record in a line that holds MARK.

    Raises:
        ProbeLineError: cut short, checksum or grammar wrong.
    """
    found = _LINE.match(text[text.rindex(MARK) + len(MARK) :][:MAX_LINE])
    if not found:
        raise ProbeLineError("cut short or not in the format")
    body = found["body"]
    if zlib.crc32(body.encode("utf-8", "replace")) != int(found["crc"], 16):
        raise ProbeLineError("checksum does not hold")
    _, name, *words = body.split(" ")
    if not _NAME.fullmatch(name):
        raise ProbeLineError("no record's name")
    return ProbeRecord(offset, int(found["number"]), name, tuple(_field(word) for word in words))


def _field(word: str) -> tuple[str, str]:
    found = _FIELD.fullmatch(word)
    if not found or _BAD_ESCAPE.search(word):
        raise ProbeLineError("no key=value")
    return found["key"], unquote(found["value"], errors="replace")


@dataclass(slots=True)
class ReportReader:
    """Takes the lines of both passes and lets each number through once."""

    _seen: dict[int, tuple[str, tuple[tuple[str, str], ...]]] = field(default_factory=dict)
    _length: int | None = None
    _complete: bool = False

    def read(self, text: str, offset: int) -> list[Event]:
        """The events of a line that holds MARK: at most a record and the report's completion."""
        try:
            record = parse_line(text, offset)
        except ProbeLineError as error:
            return [ProbeLineCorrupt(offset, str(error), text.strip()[:MAX_LINE])]
        said = (record.name, record.fields)
        before = self._seen.setdefault(record.number, said)
        if before is not said:
            if before == said:
                return []
            return [ProbeLineCorrupt(offset, "another record has its number", text[:MAX_LINE])]
        if record.name == "end":
            self._length = record.number + 1
        return [record, *self._completion(offset)]

    def _completion(self, offset: int) -> list[Event]:
        if self._complete or self._length is None or len(self._seen) < self._length:
            return []
        self._complete = all(number in self._seen for number in range(self._length))
        return [ReportComplete(offset, self._length)] if self._complete else []
