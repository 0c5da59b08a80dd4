"""Where a kernel reports another machine than it was given."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.boot.agreement import disagreements, least_memory_mib
from harness.console.report import DomainMemory, GuestReport
from harness.guest.slit import slit_differences
from harness.guest.topology import GuestDomain, Node, Topology, even_distances
from harness.kernel.elf import KernelFacts
from harness.sanitizers import NONE

PAGES_PER_MIB = 256
FACTS = KernelFacts("ab", "FreeBSD 14.1-STABLE GREEN", NONE, 14 << 20)
UNEVEN = Topology.of([Node(2, 1536), Node(1, 512), Node(1, 1024)])


def seen(topology: Topology, memory_mib: list[float] | None = None) -> GuestReport:
    """What a sound kernel reports; a node's memory is all there unless it is given."""
    domains = topology.guest_domains()
    sizes = memory_mib or [domain.memory_mib * 0.97 for domain in domains]
    return GuestReport(
        "freebsd", "14.1-STABLE", 1401500, "GREEN", len(domains),
        {cpu: number for number, domain in enumerate(domains) for cpu in domain.cpus},
        {number: DomainMemory(int(size * PAGES_PER_MIB), 4096)
         for number, size in enumerate(sizes)},
        {(near, far): value for near, row in enumerate(topology.guest_distances())
         for far, value in enumerate(row)},
        {},
    )  # fmt: skip


@pytest.mark.parametrize(
    "topology",
    [
        Topology.even(1),
        Topology.even(8, memory_mib_per_node=128),
        UNEVEN,
        Topology.of([Node(1, 1024), Node(1, 0)]),
        Topology.of([Node(1, 0), Node(1, 1024)]),
        Topology.of([Node(2, 1024), Node(0, 512)]),
        Topology((Node(2, 1024, (0, 2)), Node(2, 1024, (1, 3))), even_distances(2)),
    ],
)
def test_sound_kernel_sees_what_it_was_given(topology: Topology) -> None:
    assert disagreements(topology, FACTS, seen(topology)) == ()


def test_measured_losses_are_within_the_tolerance() -> None:
    """13.2 with KASAN, directly and through firmware and loader; 15.1 with KMSAN."""
    for topology, memory_mib in (
        (Topology.even(1), [979.8]),
        (Topology.even(2), [984.5, 997.5]),
        (Topology.even(2), [984.5, 993.2]),
        (UNEVEN, [1430.1, 499.9, 997.9]),
        (Topology.of([Node(1, 1024), Node(0, 1024)]), [1982.1]),
        (Topology.of([Node(1, 1024), Node(1, 0), Node(1, 1024)]), [984.5, 0.0, 997.6]),
        (Topology.even(8), [984.6, 945.9, 997.8, 997.2, 998.0, 998.0, 998.0, 997.9]),
        (Topology.of([Node(1, 3072), Node(1, 1024)]), [2956.1, 1001.9]),
        (Topology.of([Node(1, 5120), *[Node(1, 1024)] * 3]), [4959.6, 1002.0, 1002.0, 1001.9]),
    ):
        assert disagreements(topology, FACTS, seen(topology, memory_mib)) == ()


def test_kernel_without_numa_is_named_as_such() -> None:
    report = replace(seen(Topology.even(1)), numa=False)
    assert disagreements(UNEVEN, FACTS, report) == (
        "it sees 1 memory domains, not 3: it has no options NUMA",
    )


@pytest.mark.parametrize("domain", [0, 1, 2])
@pytest.mark.parametrize("share", [0.4, 1.01])
def test_domain_of_another_size_differs(domain: int, share: float) -> None:
    sizes = [node.memory_mib * 0.97 for node in UNEVEN.nodes]
    sizes[domain] = UNEVEN.nodes[domain].memory_mib * share
    (difference,) = disagreements(UNEVEN, FACTS, seen(UNEVEN, sizes))
    assert difference.startswith(f"domain {domain} has {sizes[domain]:.0f} MiB, not ")


def test_what_lies_in_no_domain_differs() -> None:
    report = seen(UNEVEN)
    more = replace(report, cpus={**report.cpus, 9: 7})
    assert disagreements(UNEVEN, FACTS, more) == ("CPU 9 in domains that it does not count",)
    more = replace(report, memory={**report.memory, 7: DomainMemory(1, 4096)})
    assert disagreements(UNEVEN, FACTS, more) == ("memory in domains that it does not count",)


def test_other_cpus_and_distances_differ() -> None:
    report = seen(UNEVEN)
    moved = replace(report, cpus={0: 0, 1: 1, 2: 1, 3: 2})
    assert "domain 0 has CPU 0, not CPUs 0-1" in disagreements(UNEVEN, FACTS, moved)
    nearer = replace(report, distances={**report.distances, (0, 2): 11})
    assert disagreements(UNEVEN, FACTS, nearer) == (
        "the distance from domain 0 to 2 is 11, not 20",
    )


def slit(*distances: int) -> bytes:
    side = int(len(distances) ** 0.5)
    return bytes(36) + side.to_bytes(8, "little") + bytes(distances)


def test_distances_that_qemu_gave_otherwise_are_not_the_kernels_doing() -> None:
    asked = Topology.even(2)
    assert slit_differences(asked, {"SLIT": slit(10, 20, 20, 10)}) == ()
    assert slit_differences(asked, {"SRAT": b""}) == ()
    (words,) = slit_differences(asked, {"SLIT": slit(10, 30, 20, 10)})
    assert words == "the machine's SLIT has the distances [10, 30, 20, 10], not [10, 20, 20, 10]"
    assert slit_differences(asked, {"SLIT": slit(10)})


@given(st.binary(max_size=60))
def test_any_table_is_the_one_that_was_asked_for_or_not(table: bytes) -> None:
    assert bool(slit_differences(Topology.even(1), {"SLIT": table})) != table.endswith(
        slit(10)[36:]
    )


@given(st.integers(0, 1 << 20), st.booleans())
def test_least_memory_is_never_more_than_was_given(memory_mib: int, first: bool) -> None:
    domain = GuestDomain((0,), memory_mib)
    least = least_memory_mib(domain, memory_mib, FACTS, first=first)
    assert 0 <= least <= memory_mib
    assert least_memory_mib(domain, memory_mib, FACTS, first=True) <= least
