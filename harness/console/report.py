"""Init's report: domains, CPUs and memory of the kernel, its identity, and subsystems' records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from harness.console.events import ProbeRecord

MAX_TABLE_PARTS = 4096

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class ReportError(ValueError):
    """The records are not a report: one is missing, repeated or malformed."""


@dataclass(frozen=True, slots=True)
class DomainMemory:
    """The physical memory that the kernel manages in a domain; ``page_size`` is in bytes."""

    pages: int
    page_size: int


class SubsystemReport(Protocol):
    """What a report contains of one subsystem."""

    def document(self) -> Mapping[str, Any]:
        """Return it as a JSON document, for records of runs."""


ReportReaders = Mapping[str, "Callable[[ReportRecords], SubsystemReport | None]"]
"""What reads subsystems' reports, by subsystem; None of one that a report has nothing of."""

NO_READERS: Final[ReportReaders] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class GuestReport:
    """The report of the guest's init.

    ``cpus`` maps CPUs to domains. ``distances`` are those of the SLIT. ``build_id`` is
    ``kern.build_id``, empty if the kernel has none; ``version`` is ``kern.version``. ``sanitizers``
    and ``numa`` come from ``kern.conftxt`` and are None for a kernel without it. ``subsystems`` has
    what ``read_report`` had readers for, by subsystem.
    """

    guest: str
    release: str
    osreldate: int
    ident: str
    domains: int
    cpus: Mapping[int, int]
    memory: Mapping[int, DomainMemory]
    distances: Mapping[tuple[int, int], int]
    tables: Mapping[str, bytes]
    build_id: str = ""
    version: str = ""
    sanitizers: tuple[str, ...] | None = None
    numa: bool | None = None
    cores: int | None = None
    threads: int | None = None
    subsystems: Mapping[str, SubsystemReport] = field(default_factory=dict)


def read_report(records: Iterable[ProbeRecord], readers: ReportReaders = NO_READERS) -> GuestReport:
    """Return the report of a complete set of records.

    Args:
        records: the records.
        readers: those of subsystems.

    Raises:
        ReportError: a record is missing or repeated, or a value is malformed.
    """
    reader = ReportRecords(records)
    begin, kernel, topology = (reader.one(name) for name in ("begin", "kernel", "topology"))
    reader.check_end()
    version, config = reader.optional("version"), reader.optional("config")
    cores = reader.optional("cores")
    return GuestReport(
        guest=text_of(begin, "guest"),
        release=text_of(kernel, "release"),
        osreldate=number_of(kernel, "osreldate"),
        ident=text_of(kernel, "ident"),
        domains=number_of(topology, "domains"),
        cpus=reader.mapping("cpu", lambda r: (number_of(r, "id"), number_of(r, "domain"))),
        memory=reader.mapping("memory", lambda r: (number_of(r, "domain"), _memory(r))),
        distances=reader.mapping(
            "distance", lambda r: ((number_of(r, "from"), number_of(r, "to")), _distance(r))
        ),
        tables=reader.tables(),
        build_id=text_of(kernel, "build_id"),
        version=text_of(version, "text") if version else "",
        sanitizers=_list(config, "sanitizers") if config else None,
        numa=number_of(config, "numa") == 1 if config else None,
        cores=number_of(cores, "count") if cores else None,
        threads=number_of(cores, "threads") if cores else None,
        subsystems=_of_subsystems(reader, readers),
    )


def _of_subsystems(records: ReportRecords, readers: ReportReaders) -> Mapping[str, SubsystemReport]:
    found = ((name, read(records)) for name, read in readers.items())
    return {name: report for name, report in found if report is not None}


class ReportRecords:
    """The records of one report.

    Args:
        records: in any order.
    """

    def __init__(self, records: Iterable[ProbeRecord]) -> None:
        self._records = sorted(records, key=lambda record: record.number)

    def all(self, name: str) -> Iterator[ProbeRecord]:
        """Generate the records of a name."""
        return (record for record in self._records if record.name == name)

    def one(self, name: str) -> ProbeRecord:
        """Return the only record of a name.

        Raises:
            ReportError: there is none, or several.
        """
        found = list(self.all(name))
        if len(found) != 1:
            raise ReportError(f"the report has {len(found)} records {name}, expected one")
        return found[0]

    def optional(self, name: str) -> ProbeRecord | None:
        """Return the only record of a name, or None; raises as ``one``."""
        return self.one(name) if any(self.all(name)) else None

    def mapping(
        self, name: str, read: Callable[[ProbeRecord], tuple[_Key, _Value]]
    ) -> dict[_Key, _Value]:
        """Return a mapping of all records of a name.

        Raises:
            ReportError: two have the same key.
        """
        found: dict[_Key, _Value] = {}
        for key, value in map(read, self.all(name)):
            if key in found:
                raise ReportError(f"the report has two records {name} for {key}")
            found[key] = value
        return found

    def check_end(self) -> None:
        """Raise ReportError if the last record is not ``end``."""
        end = self.one("end")
        if end is not self._records[-1]:
            raise ReportError(f"the report has records after its end, record {end.number:04}")

    def tables(self) -> dict[str, bytes]:
        """Return the ACPI tables, by name.

        Raises:
            ReportError: a part is missing or malformed.
        """
        parts: dict[str, dict[int, bytes]] = {}
        counts: dict[str, int] = {}
        for record in self.all("table"):
            name = text_of(record, "name")
            counts[name] = number_of(record, "parts")
            parts.setdefault(name, {})[number_of(record, "part")] = _hex(record, "hex")
        for name, count in counts.items():
            if count > MAX_TABLE_PARTS or sorted(parts[name]) != list(range(count)):
                raise ReportError(f"the report lacks some of the {count} parts of the table {name}")
        return {name: b"".join(parts[name][n] for n in range(counts[name])) for name in counts}


def text_of(record: ProbeRecord, key: str) -> str:
    """Return the value of a record's field.

    Raises:
        ReportError: it has no such field.
    """
    for name, value in record.fields:
        if name == key:
            return value
    raise ReportError(f"record {record.number:04} {record.name} has no {key}")


def number_of(record: ProbeRecord, key: str) -> int:
    """Return the value of a record's field as a number.

    Raises:
        ReportError: it has no such field, or the value is not a decimal number.
    """
    text = text_of(record, key)
    if not (text.isascii() and text.isdecimal() and len(text) <= 20):
        value = f"{key}={text[:40]}"
        raise ReportError(f"record {record.number:04} {record.name}: {value} is not a number")
    return int(text)


def _list(record: ProbeRecord, key: str) -> tuple[str, ...]:
    return tuple(word for word in text_of(record, key).split(",") if word)


def _memory(record: ProbeRecord) -> DomainMemory:
    return DomainMemory(number_of(record, "pages"), number_of(record, "page_size"))


def _distance(record: ProbeRecord) -> int:
    """Return the distance as in ``vm.phys_locality``: -1 if the kernel has none."""
    return -1 if text_of(record, "value") == "-1" else number_of(record, "value")


def _hex(record: ProbeRecord, key: str) -> bytes:
    try:
        return bytes.fromhex(text_of(record, key))
    except ValueError as error:
        raise ReportError(
            f"record {record.number:04} {record.name}: {key} is not hexadecimal"
        ) from error
