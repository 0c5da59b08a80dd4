"""Compares a kernel's report of its zones with a reserve with the reports of correct kernels.

Few counters are equal in two boots of one kernel: they depend on the order of CPUs, and on how busy
the host is. A kernel is wrong if a counter is far from those of correct kernels, or if its counters
contradict each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.subsystems.uma.expectation import expected_slabs
from harness.subsystems.uma.zonereport import zones_of

if TYPE_CHECKING:
    from harness.console.report import GuestReport
    from harness.guest.topology import Topology
    from harness.kernel.artifact import KernelIdentity
    from harness.subsystems.uma.zonereport import ZoneReport

#: The name in sysctl(8) of ``kmapentzone`` (sys/vm/vm_map.c).
KERNEL_MAP_ENTRIES = "KMAP_ENTRY"

#: Largest relative distance of a counter from earlier values. The tags of kernel addresses took 16
#: to 20 slabs in boots of one kernel.
_TOLERANCE = 0.5


@dataclass(frozen=True, slots=True)
class _Counter:
    """A counter's value, and the smallest amount by which it changes."""

    value: int
    step: int


@dataclass(frozen=True, slots=True)
class Usual:
    """The smallest and largest values of correct kernels, by counter."""

    ranges: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, reports: Sequence[GuestReport]) -> Usual:
        """Return the ranges of these reports, at least one, without counters that some lack."""
        told = [_counters(report) for report in reports]
        return cls(
            {
                name: (min(values), max(values))
                for name in told[0]
                if len(values := [each[name].value for each in told if name in each]) == len(told)
            }
        )

    def differences(self, report: GuestReport) -> frozenset[str]:
        """Return the counters of a report that are far off, or impossible."""
        told = _counters(report)
        found = set()
        for name, (low, high) in self.ranges.items():
            if name not in told:
                found.add(f"{name}: missing")
                continue
            counter = told[name]
            spare = max(high - low, high * _TOLERANCE, counter.step)
            if not low - spare <= counter.value <= high + spare:
                found.add(f"{name}: far from {low if low == high else f'{low} to {high}'}")
        zones = zones_of(report)
        return frozenset(found).union(*map(_impossible, zones, zones.values()))


def _counters(report: GuestReport) -> Mapping[str, _Counter]:
    """Return all counters of all zones with a reserve."""
    return {
        f"{name} {what}": counter
        for name, zone in zones_of(report).items()
        for what, counter in _counters_of(zone)
    }


def _counters_of(zone: ZoneReport) -> Iterator[tuple[str, _Counter]]:
    for number, domain in zone.domains.items():
        yield f"domain {number} pages", _Counter(domain.pages, 1)
        yield f"domain {number} free items", _Counter(domain.free_items, zone.items_per_slab)
        yield f"domain {number} free slabs", _Counter(domain.free_slabs, 1)


def _impossible(name: str, zone: ZoneReport) -> Iterator[str]:
    """Generate contradictions between counters: a slab has at least one page."""
    for number, domain in zone.domains.items():
        if domain.free_items > domain.pages * zone.items_per_slab:
            yield f"{name} domain {number}: more free items than items"
        if domain.free_slabs * zone.items_per_slab > domain.free_items:
            yield f"{name} domain {number}: more items in free slabs than free items"


def oddities(
    report: GuestReport,
    usual: Sequence[GuestReport],
    identity: KernelIdentity,
    topology: Topology,
) -> frozenset[str]:
    """See ``harness.subsystems.subsystem.Subsystem``."""
    found = Usual.of(list(usual)).differences(report)
    slabs = slabs_of(report, KERNEL_MAP_ENTRIES)
    right = expected_slabs(identity, topology)
    if slabs is not None and right and slabs not in right:
        found |= {f"{KERNEL_MAP_ENTRIES} slabs by domain: differ from the model's prediction"}
    return found


def slabs_of(report: GuestReport, zone: str) -> tuple[int, ...] | None:
    """Return a zone's number of one-page slabs by domain; None if the report lacks the zone."""
    found = zones_of(report).get(zone)
    if found is None:
        return None
    return tuple(domain.pages for _, domain in sorted(found.domains.items()))
