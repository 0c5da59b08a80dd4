"""Whether a guest saw the machine that it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.guest.memory import MIB

if TYPE_CHECKING:
    from harness.console.report import GuestReport
    from harness.guest.topology import Topology

#: The least part of a domain's memory that a kernel manages: its image, its page
#: structures and a sanitizer's shadow come out of it before it counts.
_LEAST = 0.5


def disagreements(topology: Topology, report: GuestReport) -> tuple[str, ...]:
    """Where the kernel's view of domains, CPUs, memory or distances is not what was asked for."""
    expected = topology.guest_domains()
    if report.domains != len(expected):
        return (f"the guest sees {report.domains} domains, not {len(expected)}",)
    found = []
    for number, domain in enumerate(expected):
        cpus = tuple(sorted(cpu for cpu, home in report.cpus.items() if home == number))
        if cpus != domain.cpus:
            found.append(f"domain {number} has the CPUs {cpus}, not {domain.cpus}")
        memory = report.memory.get(number)
        managed = memory.pages * memory.page_size if memory else 0
        asked = domain.memory_mib * MIB
        if not _LEAST * asked <= managed <= asked:
            found.append(
                f"domain {number} has {managed // MIB} MiB of the {domain.memory_mib} MiB given"
            )
    for near, row in enumerate(topology.guest_distances()):
        for far, distance in enumerate(row):
            seen = report.distances.get((near, far), -1)
            if seen != distance:
                found.append(f"from domain {near} to {far} is {seen}, not {distance}")
    return tuple(found)
