"""Init's report: domains, CPUs, memory and zones of the kernel, and its identity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

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


@dataclass(frozen=True, slots=True)
class ZoneDomain:
    """The contents of a zone's keg in a domain."""

    pages: int
    free_items: int
    free_slabs: int


@dataclass(frozen=True, slots=True)
class ZoneReport:
    """A UMA zone with a reserve: reserved items, items per slab, and contents of domains."""

    reserve: int
    items_per_slab: int
    domains: Mapping[int, ZoneDomain]


@dataclass(frozen=True, slots=True)
class GuestReport:
    """The report of the guest's init.

    ``cpus`` maps CPUs to domains. ``distances`` are those of the SLIT. ``build_id`` is
    ``kern.build_id``, empty if the kernel has none; ``version`` is ``kern.version``. ``sanitizers``
    and ``numa`` come from ``kern.conftxt`` and are None for a kernel without it.
    """

    guest: str
    release: str
    osreldate: int
    ident: str
    domains: int
    cpus: Mapping[int, int]
    memory: Mapping[int, DomainMemory]
    distances: Mapping[tuple[int, int], int]
    zones: Mapping[str, ZoneReport]
    tables: Mapping[str, bytes]
    build_id: str = ""
    version: str = ""
    sanitizers: tuple[str, ...] | None = None
    numa: bool | None = None
    cores: int | None = None
    threads: int | None = None


def read_report(records: Iterable[ProbeRecord]) -> GuestReport:
    """Return the report of a complete set of records.

    Raises:
        ReportError: a record is missing or repeated, or a value is malformed.
    """
    reader = _Reader(records)
    begin, kernel, topology = (reader.one(name) for name in ("begin", "kernel", "topology"))
    reader.check_end()
    version, config = reader.optional("version"), reader.optional("config")
    cores = reader.optional("cores")
    return GuestReport(
        guest=_text(begin, "guest"),
        release=_text(kernel, "release"),
        osreldate=_number(kernel, "osreldate"),
        ident=_text(kernel, "ident"),
        domains=_number(topology, "domains"),
        cpus=reader.mapping("cpu", lambda r: (_number(r, "id"), _number(r, "domain"))),
        memory=reader.mapping("memory", lambda r: (_number(r, "domain"), _memory(r))),
        distances=reader.mapping(
            "distance", lambda r: ((_number(r, "from"), _number(r, "to")), _distance(r))
        ),
        zones=reader.mapping("zone", lambda r: (_text(r, "name"), reader.zone(r))),
        tables=reader.tables(),
        build_id=_text(kernel, "build_id"),
        version=_text(version, "text") if version else "",
        sanitizers=_list(config, "sanitizers") if config else None,
        numa=_number(config, "numa") == 1 if config else None,
        cores=_number(cores, "count") if cores else None,
        threads=_number(cores, "threads") if cores else None,
    )


class _Reader:
    def __init__(self, records: Iterable[ProbeRecord]) -> None:
        self._records = sorted(records, key=lambda record: record.number)

    def all(self, name: str) -> Iterator[ProbeRecord]:
        return (record for record in self._records if record.name == name)

    def one(self, name: str) -> ProbeRecord:
        found = list(self.all(name))
        if len(found) != 1:
            raise ReportError(f"the report has {len(found)} records {name}, expected one")
        return found[0]

    def optional(self, name: str) -> ProbeRecord | None:
        return self.one(name) if any(self.all(name)) else None

    def mapping(
        self, name: str, read: Callable[[ProbeRecord], tuple[_Key, _Value]]
    ) -> dict[_Key, _Value]:
        """Return a mapping of all records of a name, whose keys must differ."""
        found: dict[_Key, _Value] = {}
        for key, value in map(read, self.all(name)):
            if key in found:
                raise ReportError(f"the report has two records {name} for {key}")
            found[key] = value
        return found

    def check_end(self) -> None:
        end = self.one("end")
        if end is not self._records[-1]:
            raise ReportError(f"the report has records after its end, record {end.number:04}")

    def zone(self, record: ProbeRecord) -> ZoneReport:
        name = _text(record, "name")
        domains = {
            _number(r, "domain"): ZoneDomain(
                _number(r, "pages"), _number(r, "free_items"), _number(r, "free_slabs")
            )
            for r in self.all("zonedomain")
            if _text(r, "zone") == name
        }
        return ZoneReport(_number(record, "reserve"), _number(record, "ipers"), domains)

    def tables(self) -> dict[str, bytes]:
        parts: dict[str, dict[int, bytes]] = {}
        counts: dict[str, int] = {}
        for record in self.all("table"):
            name = _text(record, "name")
            counts[name] = _number(record, "parts")
            parts.setdefault(name, {})[_number(record, "part")] = _hex(record, "hex")
        for name, count in counts.items():
            if count > MAX_TABLE_PARTS or sorted(parts[name]) != list(range(count)):
                raise ReportError(f"the report lacks some of the {count} parts of the table {name}")
        return {name: b"".join(parts[name][n] for n in range(counts[name])) for name in counts}


def _text(record: ProbeRecord, key: str) -> str:
    for name, value in record.fields:
        if name == key:
            return value
    raise ReportError(f"record {record.number:04} {record.name} has no {key}")


def _number(record: ProbeRecord, key: str) -> int:
    text = _text(record, key)
    if not (text.isascii() and text.isdecimal() and len(text) <= 20):
        value = f"{key}={text[:40]}"
        raise ReportError(f"record {record.number:04} {record.name}: {value} is not a number")
    return int(text)


def _list(record: ProbeRecord, key: str) -> tuple[str, ...]:
    return tuple(word for word in _text(record, key).split(",") if word)


def _memory(record: ProbeRecord) -> DomainMemory:
    return DomainMemory(_number(record, "pages"), _number(record, "page_size"))


def _distance(record: ProbeRecord) -> int:
    """Return the distance as in ``vm.phys_locality``: -1 if the kernel has none."""
    return -1 if _text(record, "value") == "-1" else _number(record, "value")


def _hex(record: ProbeRecord, key: str) -> bytes:
    try:
        return bytes.fromhex(_text(record, key))
    except ValueError as error:
        raise ReportError(
            f"record {record.number:04} {record.name}: {key} is not hexadecimal"
        ) from error
