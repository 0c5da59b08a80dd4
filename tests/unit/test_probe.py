"""The guest's report: its lines, its two passes, and the value it makes."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.console.events import (
    Event,
    ProbeConflict,
    ProbeLineCorrupt,
    ProbeRecord,
    ReportComplete,
)
from harness.console.parser import ConsoleParser
from harness.console.probe import MAX_NONCES, ProbeLineError, parse_line
from harness.console.report import DomainMemory, ReportError, read_report
from harness.subsystems.table import report_readers
from harness.subsystems.uma.zonereport import ReportedZones, ZoneDomain, ZoneReport


def line(number: int, text: str, nonce: str = "") -> str:
    body = f"{nonce} {number:04} {text}".strip()
    return f"@harness {body} *{zlib.crc32(body.encode()):08x}"


def report_lines(nonce: str = "") -> list[str]:
    texts = [
        "begin version=1 guest=freebsd",
        "kernel release=13.2-RELEASE osreldate=1302001 ident=HARNESS-KASAN build_id=ab12",
        "topology domains=2 cpus=2",
        "cpu id=0 domain=0",
        "cpu id=1 domain=1",
        "memory domain=0 pages=1000 page_size=4096",
        "memory domain=1 pages=2000 page_size=4096",
        "distance from=0 to=1 value=21",
        "zone name=KMAP%20ENTRY reserve=2 ipers=42",
        "zonedomain zone=KMAP%20ENTRY domain=0 pages=1 free_items=38 free_slabs=0",
        "table name=SRAT part=0 parts=2 hex=53524154",
        "table name=SRAT part=1 parts=2 hex=00ff",
        "end records=13",
    ]
    return [line(number, text, nonce) for number, text in enumerate(texts)]


def read(lines: Iterable[str]) -> list[Event]:
    parser = ConsoleParser()
    return parser.feed("".join(f"{text}\r\n" for text in lines).encode()) + parser.close()


def records(events: Iterable[Event]) -> list[ProbeRecord]:
    return [event for event in events if isinstance(event, ProbeRecord)]


def test_a_line_becomes_a_record_with_its_values_decoded() -> None:
    record = parse_line(line(9, "zone name=KMAP%20ENTRY reserve=2"), offset=77)
    fields = (("name", "KMAP ENTRY"), ("reserve", "2"))
    assert record == ProbeRecord(77, 9, "zone", fields)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("@harness 0000 begin version=1 *00000000", "checksum"),
        ("@harness 0000 begin version=1", "cut short"),
        ("@harness begin", "cut short"),
        ("@harness ", "cut short"),
        (line(0, "Begin version=1"), "name"),
        (line(0, "begin version"), "key=value"),
        (line(0, "begin version=%zz"), "key=value"),
        (line(0, "begin  version=1"), "key=value"),
        (line(0, "begin version=" + "1" * 2000), "cut short"),
    ],
)
def test_a_line_that_is_no_record_says_why(text: str, reason: str) -> None:
    with pytest.raises(ProbeLineError, match=reason):
        parse_line(text, 0)


def test_a_report_is_complete_once_although_it_comes_twice() -> None:
    events = read(report_lines() * 2)
    assert len(records(events)) == 13
    assert [event.records for event in events if isinstance(event, ReportComplete)] == [13]


def test_the_second_pass_makes_good_a_line_that_kernel_output_tore_in_the_first() -> None:
    first, second = report_lines(), report_lines()
    first[3] = first[3][:20] + "WARNING: in between"
    events = read(first + second)
    assert [event.number for event in records(events)].count(3) == 1
    assert any(isinstance(event, ProbeLineCorrupt) for event in events)
    assert any(isinstance(event, ReportComplete) for event in events)


def test_a_record_counts_behind_other_output_on_its_line() -> None:
    events = read([f"Syncing disks... 0 0 {report_lines()[0]}uart0: overrun"])
    assert [event.name for event in records(events)] == ["begin"]


@pytest.mark.parametrize("missing", [0, 5, 12])
def test_a_report_that_lacks_a_record_is_not_complete(missing: int) -> None:
    lines = report_lines()
    del lines[missing]
    assert not any(isinstance(event, ReportComplete) for event in read(lines * 2))


def test_another_record_with_a_number_that_is_taken_changes_nothing() -> None:
    events = read([report_lines()[0], line(0, "begin version=1 guest=other")])
    assert [event.fields[1] for event in records(events)] == [("guest", "freebsd")]
    assert isinstance(events[-1], ProbeConflict)


@pytest.mark.parametrize("number", [3, 5, 7, 8])
def test_what_is_told_twice_makes_no_report(number: int) -> None:
    texts = [text.split(" ", 2)[2].rpartition(" *")[0] for text in report_lines()[:-1]]
    texts.insert(number, texts[number])
    events = read(line(at, text) for at, text in enumerate([*texts, f"end records={len(texts)}"]))
    with pytest.raises(ReportError, match="two records"):
        read_report(records(events), report_readers())


def test_reports_of_two_boots_are_kept_apart() -> None:
    """Each is complete by itself, and neither lends the other a record."""
    ours, old = [report_lines(nonce) for nonce in ("0123456789abcdef", "fedcba9876543210")]
    events = read([*old[:6], *ours, *old[7:]])
    complete = [event for event in events if isinstance(event, ReportComplete)]
    assert [event.nonce for event in complete] == ["0123456789abcdef"]
    assert {event.nonce for event in records(events)} == {"0123456789abcdef", "fedcba9876543210"}


def test_a_nonce_is_covered_by_its_lines_checksum() -> None:
    text = report_lines("0123456789abcdef")[0]
    assert isinstance(read([text.replace("0123", "0124")])[0], ProbeLineCorrupt)
    assert isinstance(read([text.replace("0123456789abcdef ", "")])[0], ProbeLineCorrupt)


def test_a_guest_that_makes_up_nonces_does_not_fill_the_memory() -> None:
    events = read(line(0, "begin version=2", f"{number:016x}") for number in range(20))
    assert len(records(events)) == MAX_NONCES
    assert sum(isinstance(event, ProbeLineCorrupt) for event in events) == 20 - MAX_NONCES


@given(st.integers(0, 9999), st.text(max_size=200), st.integers(0, 2**32 - 1))
def test_a_forged_line_with_a_wrong_checksum_is_never_a_record(
    number: int, text: str, crc: int
) -> None:
    body = f"{number:04} {text}"
    if crc == zlib.crc32(body.encode("utf-8", "replace")):
        crc ^= 1
    forged = body.encode("utf-8", "replace")
    parser = ConsoleParser()
    events = parser.feed(b"@harness " + forged + b" *%08x\n" % crc) + parser.close()
    good = [event for event in records(events) if line_holds(event, forged)]
    assert records(events) == good


def line_holds(record: ProbeRecord, forged: bytes) -> bool:
    """Whether the text itself held a whole record, checksum included."""
    return f"{record.number:04} {record.name}".encode() in forged and b" *" in forged


def test_the_records_make_a_report() -> None:
    report = read_report(records(read(report_lines())), report_readers())
    assert (report.guest, report.release, report.osreldate) == ("freebsd", "13.2-RELEASE", 1302001)
    assert (report.ident, report.domains) == ("HARNESS-KASAN", 2)
    assert report.cpus == {0: 0, 1: 1}
    assert report.memory[1] == DomainMemory(2000, 4096)
    assert report.distances == {(0, 1): 21}
    assert report.subsystems == {
        "uma": ReportedZones({"KMAP ENTRY": ZoneReport(2, 42, {0: ZoneDomain(1, 38, 0)})})
    }
    assert report.tables == {"SRAT": bytes.fromhex("5352415400ff")}


@pytest.mark.parametrize(
    ("number", "text", "reason"),
    [
        (2, "topology domains=two cpus=2", "is not a number"),
        (2, "topology cpus=2", "has no domains"),
        (2, "kernel release=x osreldate=1 ident=y", "2 records kernel"),
        (11, "table name=SRAT part=7 parts=2 hex=00", "lacks some of the 2 parts"),
        (11, "table name=SRAT part=1 parts=2 hex=0g", "not hex"),
        (11, "table name=SRAT part=1 parts=99999999 hex=00", "lacks some"),
    ],
)
def test_records_that_make_no_report_are_refused(number: int, text: str, reason: str) -> None:
    lines = report_lines()
    lines[number] = line(number, text)
    with pytest.raises(ReportError, match=reason):
        read_report(records(read(lines)), report_readers())
