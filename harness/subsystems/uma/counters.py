"""What a running kernel says of its zones with a reserve, against kernels that are right.

Few counters are the same in two boots of one kernel: they depend on which CPU came first, and on
how busy the host is. A kernel is wrong if a counter is far from what right kernels said of it, or
if its counters contradict each other.
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

#: The zone of ``kmapentzone`` (sys/vm/vm_map.c), as sysctl names it.
KERNEL_MAP_ENTRIES = "KMAP_ENTRY"

#: How far a counter may be from what was seen before, as a part of it; the tags of kernel
#: addresses were seen to take 16 to 20 slabs in boots of one kernel.
_TOLERANCE = 0.5


@dataclass(frozen=True, slots=True)
class _Counter:
    """A number, and the step in which it changes."""

    value: int
    step: int


@dataclass(frozen=True, slots=True)
class Usual:
    """The least and the most that right kernels said, by what is counted."""

    ranges: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, reports: Sequence[GuestReport]) -> Usual:
        """Of these reports, at least one; what not all of them tell of is left out."""
        told = [_counters(report) for report in reports]
        return cls(
            {
                name: (min(values), max(values))
                for name in told[0]
                if len(values := [each[name].value for each in told if name in each]) == len(told)
            }
        )

    def differences(self, report: GuestReport) -> frozenset[str]:
        """What is far off in a report, or cannot be in any."""
        told = _counters(report)
        found = set()
        for name, (low, high) in self.ranges.items():
            if name not in told:
                found.add(f"{name}: not told")
                continue
            counter = told[name]
            spare = max(high - low, high * _TOLERANCE, counter.step)
            if not low - spare <= counter.value <= high + spare:
                found.add(f"{name}: far from {low if low == high else f'{low} to {high}'}")
        zones = zones_of(report)
        return frozenset(found).union(*map(_impossible, zones, zones.values()))


def _counters(report: GuestReport) -> Mapping[str, _Counter]:
    """Every counter of every zone with a reserve."""
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
    """Counters that contradict each other: a slab has one page at the least."""
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
        found |= {f"{KERNEL_MAP_ENTRIES} slabs by domain: not what the model predicts"}
    return found


def slabs_of(report: GuestReport, zone: str) -> tuple[int, ...] | None:
    """A zone's slabs of one page in each domain; None if the report has no such zone."""
    found = zones_of(report).get(zone)
    if found is None:
        return None
    return tuple(domain.pages for _, domain in sorted(found.domains.items()))
