"""The guest's own report: its lines, and the report they make.

One record a line, anywhere on it: ``@harness NONCE NNNN name key=value ... *CCCCCCCC``. NONCE is
what this boot was given to tell its report from all others (16 hexadecimal digits, left out with
its space by a guest that was given none), NNNN counts from 0000, and CCCCCCCC is the CRC-32 (IEEE)
of what lies between ``@harness `` and `` *``. Values are percent-encoded. The guest prints the
whole report twice, as the kernel may print in between: of each nonce and number the first line
whose checksum holds counts.
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
"""Longer lines are none of ours (a record takes 200 characters at most)."""

MAX_NONCES = 4
"""Reports of that many boots are read; a console should hold one."""

_LINE = re.compile(
    r"(?P<body>(?:(?P<nonce>[0-9a-f]{16}) )?(?P<number>\d{4}) (?P<record>[^*]{1,1000}))"
    r" \*(?P<crc>[0-9a-f]{8})",
    re.ASCII,
)
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
    name, *words = found["record"].split(" ")
    if not _NAME.fullmatch(name):
        raise ProbeLineError("no record's name")
    fields = tuple(_field(word) for word in words)
    return ProbeRecord(offset, int(found["number"]), name, fields, found["nonce"] or "")


def _field(word: str) -> tuple[str, str]:
    found = _FIELD.fullmatch(word)
    if not found or _BAD_ESCAPE.search(word):
        raise ProbeLineError("no key=value")
    return found["key"], unquote(found["value"], errors="replace")


@dataclass(slots=True)
class _Report:
    """What has come of the report of one boot."""

    seen: dict[int, tuple[str, tuple[tuple[str, str], ...]]] = field(default_factory=dict)
    length: int | None = None
    complete: bool = False

    def take(self, record: ProbeRecord, text: str) -> list[Event]:
        said = (record.name, record.fields)
        before = self.seen.setdefault(record.number, said)
        if before is not said:
            if before == said:
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
    """Takes the lines of both passes and lets each number of each boot through once."""

    _reports: dict[str, _Report] = field(default_factory=dict)

    def read(self, text: str, offset: int) -> list[Event]:
        """The events of a line that holds MARK: at most a record and the report's completion."""
        try:
            record = parse_line(text, offset)
        except ProbeLineError as error:
            return [ProbeLineCorrupt(offset, str(error), text.strip()[:MAX_LINE])]
        if record.nonce not in self._reports and len(self._reports) == MAX_NONCES:
            reason = "reports of too many boots"
            return [ProbeLineCorrupt(offset, reason, text.strip()[:MAX_LINE])]
        return self._reports.setdefault(record.nonce, _Report()).take(record, text)
