"""Compares the machine that a kernel reports with the one that QEMU started. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.guest.memory import MIB
from harness.guest.topology import cpus_in_words

if TYPE_CHECKING:
    from harness.console.report import GuestReport
    from harness.guest.topology import GuestDomain, Topology
    from harness.kernel.elf import KernelFacts

#: Memory that a kernel reserves in each domain before it counts it, measured on 13.2 and 15.1
#: (``images/minimal/README.md``): a share for its page structures (104 bytes a page, 2.5 %) and
#: MiB for firmware and rounding. A sanitizer's shadow takes no more: all page
#: structures share one page of it.
_SHARE: Final = 0.03
_EACH_MIB: Final = 16

#: The first domain with memory also holds the loaded kernel, its boot memory and the sanitizer's
#: memory for it: this much, and twice the file's size.
_FIRST_MIB: Final = 48


def least_memory_mib(
    domain: GuestDomain, total_mib: int, facts: KernelFacts, *, first: bool
) -> float:
    """Return the least memory, in MiB, that a correct kernel manages in a domain.

    Args:
        domain: the domain as the machine provides it.
        total_mib: memory of all domains.
        facts: the kernel's facts.
        first: whether it is the first domain with memory, which contains the kernel.
    """
    hole = GUEST.board.hole_mib if total_mib >= GUEST.board.below_hole_mib else 0
    taken = _SHARE * (domain.memory_mib + hole) + _EACH_MIB
    if first:
        taken += _FIRST_MIB + 2 * facts.size / MIB
    return max(0.0, domain.memory_mib - taken)


def disagreements(topology: Topology, facts: KernelFacts, report: GuestReport) -> tuple[str, ...]:
    """Yield where reported domains, CPUs, memory or distances differ from the machine.

    Layouts that FreeBSD is known to refuse count as what FreeBSD makes of them
    (``Topology.guest_domains``).
    """
    expected = topology.guest_domains()
    if report.domains != len(expected):
        why = ": it has no options NUMA" if report.numa is False else ""
        return (f"it sees {report.domains} memory domains, not {len(expected)}{why}",)
    return (
        *_other_cpus(expected, report),
        *_other_cores(topology, report),
        *_other_memory(expected, facts, report),
        *_other_distances(topology, report),
    )


def _other_cpus(expected: tuple[GuestDomain, ...], report: GuestReport) -> Iterator[str]:
    for number, domain in enumerate(expected):
        cpus = tuple(sorted(cpu for cpu, home in report.cpus.items() if home == number))
        if cpus != domain.cpus:
            yield f"domain {number} has {cpus_in_words(cpus)}, not {cpus_in_words(domain.cpus)}"
    strangers = sorted(cpu for cpu, home in report.cpus.items() if home >= len(expected))
    if strangers:
        yield f"{cpus_in_words(strangers)} in domains that it does not count"


def _other_cores(topology: Topology, report: GuestReport) -> Iterator[str]:
    asked = (topology.sockets * topology.package.cores, topology.package.threads)
    if report.cores is not None and (report.cores, report.threads) != asked:
        seen = f"{report.cores} cores with {report.threads} threads"
        yield f"it sees {seen} each, not {asked[0]} with {asked[1]}"


def _other_memory(
    expected: tuple[GuestDomain, ...], facts: KernelFacts, report: GuestReport
) -> Iterator[str]:
    total = sum(domain.memory_mib for domain in expected)
    first = next(number for number, domain in enumerate(expected) if domain.memory_mib)
    for number, domain in enumerate(expected):
        memory = report.memory.get(number)
        managed = memory.pages * memory.page_size / MIB if memory else 0.0
        least = least_memory_mib(domain, total, facts, first=number == first)
        if not least <= managed <= domain.memory_mib:
            yield f"domain {number} has {managed:.0f} MiB, not {least:.0f} to {domain.memory_mib}"
    if any(number >= len(expected) for number in report.memory):
        yield "memory in domains that it does not count"


def _other_distances(topology: Topology, report: GuestReport) -> Iterator[str]:
    for near, row in enumerate(topology.guest_distances()):
        for far, distance in enumerate(row):
            seen = report.distances.get((near, far), -1)
            if seen != distance:
                yield f"the distance from domain {near} to {far} is {seen}, not {distance}"
