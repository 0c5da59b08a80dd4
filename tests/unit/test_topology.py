"""What layouts there can be, and what FreeBSD makes of each."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.guest.topology import (
    MAX_NODES,
    GuestDomain,
    Node,
    Package,
    Topology,
    cpus_in_words,
    even_distances,
    parse_node_counts,
)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("4", (4,)),
        ("1,2,4", (1, 2, 4)),
        ("1-8", (1, 2, 3, 4, 5, 6, 7, 8)),
        ("1,4-6", (1, 4, 5, 6)),
        ("4,2", (4, 2)),
        ("2,1-3,2", (2, 1, 3)),
        (" 1 , 2 - 3 ", (1, 2, 3)),
    ],
)
def test_numbers_of_nodes_are_read_in_the_order_given_each_once(
    text: str, counts: tuple[int, ...]
) -> None:
    assert parse_node_counts(text) == counts


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "neither a number nor a range"),
        ("four", "'four' is neither a number nor a range"),
        ("1,,2", "'' is neither"),
        ("-1", "'-1' is neither"),
        ("1-2-3", "'1-2-3' is neither"),
        ("٤", "neither a number nor a range"),
        ("1.5", "'1.5' is neither"),
        ("0", "at least one node"),
        ("0-4", "at least one node"),
        ("4-2", "the range 4-2 runs backwards"),
        ("9", "at most 8 memory domains"),
        ("1-16", "at most 8 memory domains"),
        ("999999999999", "at most 8 memory domains"),
    ],
)
def test_bad_numbers_of_nodes_are_refused_with_input_cause_and_remedy(
    text: str, cause: str
) -> None:
    with pytest.raises(UsageError) as refused:
        parse_node_counts(text)
    assert repr(text) in refused.value.message
    assert cause in refused.value.message
    assert "1-8" in refused.value.remedy


@given(st.text(alphabet="0123456789,- ", max_size=12))
def test_whatever_is_read_are_numbers_freebsd_takes(text: str) -> None:
    try:
        counts = parse_node_counts(text)
    except UsageError:
        return
    assert counts
    assert len(set(counts)) == len(counts)
    assert all(1 <= count <= MAX_NODES for count in counts)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 4096))
def test_even_nodes_share_cpus_and_memory(nodes: int, cpus: int, memory: int) -> None:
    topology = Topology.even(nodes, cpus, memory)
    assert topology.cpus == nodes * cpus
    assert topology.memory_mib == nodes * memory
    assert topology.warnings() == ()
    assert topology.distances == even_distances(nodes)
    assert len(topology.guest_domains()) == nodes


def test_cpus_are_counted_through_the_nodes_in_order() -> None:
    topology = Topology.of([Node(2, 512), Node(1, 512), Node(0, 512), Node(3, 512)])
    assert topology.cpu_ids() == ((0, 1), (2,), (), (3, 4, 5))


@pytest.mark.parametrize(
    ("numbers", "package", "domains"),
    [
        ([(0, 2), (1, 3)], Package(), [(0, 1), (2, 3)]),
        ([(1, 3), (0, 2)], Package(), [(2, 3), (0, 1)]),
        ([(0, 3), (1, 2)], Package(), [(0, 1), (2, 3)]),
        ([(0, 1), (2, 3)], Package(1, 2), [(0, 1), (2, 3)]),
        ([(2, 3), (0, 1)], Package(1, 2), [(2, 3), (0, 1)]),
        # packages that are shared: in each of them, domain by domain
        ([(0, 2, 4, 6), (1, 3, 5, 7)], Package(4, 1), [(0, 1, 4, 5), (2, 3, 6, 7)]),
        ([(0, 2, 4, 5, 6, 7), (1, 3)], Package(4, 1), [(0, 1, 4, 5, 6, 7), (2, 3)]),
    ],
)
def test_freebsd_numbers_cpus_domain_by_domain(
    numbers: list[tuple[int, ...]], package: Package, domains: list[tuple[int, ...]]
) -> None:
    nodes = tuple(Node(len(cpus), 512, cpus) for cpus in numbers)
    topology = Topology(nodes, even_distances(len(nodes)), package)
    assert [domain.cpus for domain in topology.guest_domains()] == domains


def test_a_node_without_memory_is_an_empty_domain() -> None:
    topology = Topology.of([Node(1, 1024), Node(1, 0), Node(1, 1024)])
    assert topology.guest_domains() == (
        GuestDomain((0,), 1024),
        GuestDomain((1,), 0),
        GuestDomain((2,), 1024),
    )
    assert topology.warnings() == ()


def test_a_node_without_cpus_is_allowed_with_the_warning_that_freebsd_sees_one_domain() -> None:
    topology = Topology.of([Node(2, 1024), Node(0, 512), Node(0, 512)])
    (warning,) = topology.warnings()
    assert "SRAT: No CPU found for memory domain 1" in warning
    assert "one domain" in warning
    assert topology.guest_domains() == (GuestDomain((0, 1), 2048),)
    assert topology.guest_distances() == ((-1,),)


def test_freebsd_knows_of_no_distance_to_an_unreachable_node() -> None:
    topology = Topology((Node(1, 512), Node(1, 512)), ((10, 255), (40, 10)))
    assert topology.guest_distances() == ((10, -1), (40, 10))


def test_freebsd_keeps_no_distances_for_one_domain() -> None:
    assert Topology.even(1).guest_distances() == ((-1,),)


@pytest.mark.parametrize(
    ("nodes", "cause"),
    [
        ((), "without nodes"),
        ((Node(1, 512),) * 9, "9 nodes: FreeBSD/amd64 supports at most 8"),
        ((Node(1, 512), Node(0, 0)), "node 1 has neither CPUs nor memory"),
        ((Node(-1, 512),), "node 0: -1 CPUs"),
        ((Node(1, -1),), "-1 MiB"),
        ((Node(0, 512),), "0 CPUs in all nodes"),
        ((Node(255, 512), Node(1, 512)), "256 CPUs"),
        ((Node(1, 0),), "no node has memory"),
    ],
)
def test_layouts_that_cannot_be_are_refused(nodes: tuple[Node, ...], cause: str) -> None:
    with pytest.raises(UsageError) as refused:
        Topology.of(nodes)
    assert cause in refused.value.message
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("distances", "cause"),
    [
        (((10,),), "not a table of 2 rows"),
        (((10, 20), (20,)), "not a table of 2 rows"),
        (((11, 20), (20, 10)), "distance 11 from node 0 to itself"),
        (((10, 10), (20, 10)), "distance 10 from node 0 to node 1"),
        (((10, 20), (256, 10)), "distance 256 from node 1 to node 0"),
        (((10, 20), (-1, 10)), "distance -1 from node 1 to node 0"),
    ],
)
def test_distances_that_acpi_and_qemu_do_not_take_are_refused(
    distances: tuple[tuple[int, ...], ...], cause: str
) -> None:
    with pytest.raises(UsageError) as refused:
        Topology((Node(1, 512), Node(1, 512)), distances)
    assert cause in refused.value.message
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("cpus", "words"),
    [((), "no CPUs"), ((3,), "CPU 3"), (range(4), "CPUs 0-3"), ((0, 2, 3, 9), "CPUs 0,2-3,9")],
)
def test_cpus_are_told_by_ranges(cpus: Sequence[int], words: str) -> None:
    assert cpus_in_words(cpus) == words
