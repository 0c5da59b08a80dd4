"""What a running kernel says of its zones with a reserve, against kernels that are right.

Many counters are not the same in two boots of one kernel: they depend on which CPU came first.
Those that are the same in all boots of a right kernel are steady, and a kernel in which a steady
counter is another one is wrong, if it is so again in a second boot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.console.report import GuestReport, Zone


@dataclass(frozen=True, slots=True)
class Steady:
    """The counters that are the same in all boots of a right kernel, by what they count."""

    values: Mapping[str, int]

    @classmethod
    def of(cls, reports: Sequence[GuestReport]) -> Steady:
        """What these reports, at least one, agree on."""
        first, *others = (counters(report) for report in reports)
        return cls(
            {
                name: value
                for name, value in first.items()
                if all(other.get(name) == value for other in others)
            }
        )

    def differences(self, report: GuestReport) -> frozenset[str]:
        """What is otherwise in a report, or cannot be in any."""
        told = counters(report)
        found = {
            f"{name}: {told.get(name, 'not told')}, not {value}"
            for name, value in self.values.items()
            if told.get(name) != value
        }
        return frozenset(found).union(*map(_impossible, report.zones, report.zones.values()))


def counters(report: GuestReport) -> Mapping[str, int]:
    """Every counter of every zone with a reserve, and the zone's sums."""
    return {
        name: value for zone in report.zones for name, value in _counters(zone, report.zones[zone])
    }


def _counters(name: str, zone: Zone) -> Iterator[tuple[str, int]]:
    yield f"{name} reserve", zone.reserve
    yield f"{name} items a slab", zone.items_per_slab
    for number, domain in zone.domains.items():
        yield f"{name} domain {number} pages", domain.pages
        yield f"{name} domain {number} free items", domain.free_items
        yield f"{name} domain {number} free slabs", domain.free_slabs
    yield f"{name} pages", sum(domain.pages for domain in zone.domains.values())
    yield f"{name} free items", sum(domain.free_items for domain in zone.domains.values())


def _impossible(name: str, zone: Zone) -> Iterator[str]:
    """Counters that contradict each other: a slab has one page at the least."""
    for number, domain in zone.domains.items():
        if domain.free_items > domain.pages * zone.items_per_slab:
            yield f"{name} domain {number}: more free items than items"
        if domain.free_slabs * zone.items_per_slab > domain.free_items:
            yield f"{name} domain {number}: more items in free slabs than free items"
