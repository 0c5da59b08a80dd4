"""What init reports of UMA's zones with a reserve (``c/init/zones.c``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from harness.console.report import number_of, text_of
from harness.subsystems.uma.codeforms import NAME

if TYPE_CHECKING:
    from harness.console.events import ProbeRecord
    from harness.console.report import GuestReport, ReportRecords


@dataclass(frozen=True, slots=True)
class ZoneDomain:
    """The contents of a zone's keg in a domain."""

    pages: int
    free_items: int
    free_slabs: int


@dataclass(frozen=True, slots=True)
class ZoneReport:
    """A zone: reserved items, items per slab, and contents of domains."""

    reserve: int
    items_per_slab: int
    domains: Mapping[int, ZoneDomain]


@dataclass(frozen=True, slots=True)
class ReportedZones:
    """All of them, by name; a ``SubsystemReport``."""

    zones: Mapping[str, ZoneReport]

    def document(self) -> Mapping[str, Any]:
        """See ``SubsystemReport``."""
        return {"zones": {name: asdict(zone) for name, zone in self.zones.items()}}


def read_zones(records: ReportRecords) -> ReportedZones:
    """Return the zones of a report.

    Raises:
        ReportError: a record is repeated or malformed.
    """

    def zone(record: ProbeRecord) -> tuple[str, ZoneReport]:
        name = text_of(record, "name")
        domains = {
            number_of(each, "domain"): ZoneDomain(
                number_of(each, "pages"),
                number_of(each, "free_items"),
                number_of(each, "free_slabs"),
            )
            for each in records.all("zonedomain")
            if text_of(each, "zone") == name
        }
        return name, ZoneReport(number_of(record, "reserve"), number_of(record, "ipers"), domains)

    return ReportedZones(records.mapping("zone", zone))


def zones_of(report: GuestReport) -> Mapping[str, ZoneReport]:
    """Return the zones of a report, by name; empty if they were not read."""
    found = report.subsystems.get(NAME)
    return found.zones if isinstance(found, ReportedZones) else {}
