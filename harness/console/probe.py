"""The lines of init's report.

A line contains one record, at any column: ``@harness NONCE NNNN name key=value ... *CCCCCCCC``.
NONCE identifies the boot (16 hexadecimal digits, omitted with its space by a guest without a
nonce), NNNN counts from 0000, and CCCCCCCC is the CRC-32 (IEEE) of the text between ``@harness ``
and `` *``. Values are percent-encoded. Init prints the whole report twice, because the kernel may
print in between; for each nonce and number, the first line with a valid checksum counts.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from urllib.parse import unquote

from harness.console.events import (
    Event,
    ProbeConflict,
    ProbeLineCorrupt,
    ProbeRecord,
    ReportComplete,
)

MARK = "@harness "
MAX_LINE = 1024
"""Maximum length of a line; a record takes at most 200 characters."""

MAX_NONCES = 4
"""Maximum number of boots whose reports are read; a console normally contains one."""

_LINE = re.compile(
    r"(?P<body>(?:(?P<nonce>[0-9a-f]{16}) )?(?P<number>\d{4}) (?P<record>[^*]{1,1000}))"
    r" \*(?P<crc>[0-9a-f]{8})",
    re.ASCII,
)
_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_FIELD = re.compile(r"(?P<key>[a-z][a-z0-9_]*)=(?P<value>[A-Za-z0-9._:,/+%-]*)", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)


class ProbeLineError(ValueError):
    """The line is not a valid record."""


def parse_line(text: str, offset: int) -> ProbeRecord:
    """Return the record of a line that contains MARK.

    Raises:
        ProbeLineError: the line is cut short, or its checksum or format is wrong.
    """
    found = _LINE.match(text[text.rindex(MARK) + len(MARK) :][:MAX_LINE])
    if not found:
        raise ProbeLineError("cut short or malformed")
    body = found["body"]
    if zlib.crc32(body.encode("utf-8", "replace")) != int(found["crc"], 16):
        raise ProbeLineError("wrong checksum")
    name, *words = found["record"].split(" ")
    if not _NAME.fullmatch(name):
        raise ProbeLineError("no record name")
    fields = tuple(_field(word) for word in words)
    return ProbeRecord(offset, int(found["number"]), name, fields, found["nonce"] or "")


def _field(word: str) -> tuple[str, str]:
    found = _FIELD.fullmatch(word)
    if not found or _BAD_ESCAPE.search(word):
        raise ProbeLineError("no key=value")
    return found["key"], unquote(found["value"], errors="replace")


@dataclass(slots=True)
class _Report:
    """The records read so far of the report of one boot."""

    seen: dict[int, tuple[str, tuple[tuple[str, str], ...]]] = field(default_factory=dict)
    length: int | None = None
    complete: bool = False

    def add(self, record: ProbeRecord, text: str) -> list[Event]:
        content = (record.name, record.fields)
        before = self.seen.setdefault(record.number, content)
        if before is not content:
            if before == content:
                return []
            return [ProbeConflict(record.offset, record.number, record.nonce, text[:MAX_LINE])]
        if record.name == "end":
            self.length = record.number + 1
        return [record, *self._completion(record)]

    def _completion(self, record: ProbeRecord) -> list[Event]:
        if self.complete or self.length is None or len(self.seen) < self.length:
            return []
        self.complete = all(number in self.seen for number in range(self.length))
        return [ReportComplete(record.offset, self.length, record.nonce)] if self.complete else []


@dataclass(slots=True)
class ReportReader:
    """Reads the lines of both copies, and returns each record of each boot once."""

    _reports: dict[str, _Report] = field(default_factory=dict)

    def read(self, text: str, offset: int) -> list[Event]:
        """Return the events of a line that contains MARK."""
        try:
            record = parse_line(text, offset)
        except ProbeLineError as error:
            return [ProbeLineCorrupt(offset, str(error), text.strip()[:MAX_LINE])]
        if record.nonce not in self._reports and len(self._reports) == MAX_NONCES:
            reason = "reports of too many boots"
            return [ProbeLineCorrupt(offset, reason, text.strip()[:MAX_LINE])]
        return self._reports.setdefault(record.nonce, _Report()).add(record, text)
