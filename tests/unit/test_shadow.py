"""Memory under a sanitizer: what boots, what is warned of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.guest.sanitizermemory import default_topology, first_domain_needs_mib, memory_warnings
from harness.guest.topology import Node, Topology
from harness.sanitizers import KASAN, KMSAN, NONE, Sanitizers


@given(st.integers(1, 8), st.sampled_from([NONE, Sanitizers({KASAN}), Sanitizers({KMSAN})]))
def test_the_defaults_are_never_warned_of(nodes: int, sanitizer: Sanitizers) -> None:
    assert memory_warnings(default_topology(nodes, sanitizer), sanitizer) == ()


@pytest.mark.parametrize(("nodes", "mib"), [(8, 512), (8, 256), (6, 512)])
def test_layouts_seen_to_fail_in_a_good_kasan_kernel_are_warned_of(nodes: int, mib: int) -> None:
    (warning,) = memory_warnings(Topology.even(nodes, 1, mib), Sanitizers({KASAN}))
    assert f"node 0 has {mib} MiB" in warning


@pytest.mark.parametrize(
    ("nodes", "mib"), [(1, 512), (2, 512), (4, 512), (8, 704), (1, 1024), (8, 1024)]
)
def test_layouts_seen_to_boot_under_kasan_are_not(nodes: int, mib: int) -> None:
    assert memory_warnings(Topology.even(nodes, 1, mib), Sanitizers({KASAN})) == ()


def test_it_is_the_first_node_that_counts() -> None:
    rich_first = Topology.of([Node(1, 1024), *[Node(1, 256)] * 7])
    poor_first = Topology.of([Node(1, 256), *[Node(1, 1024)] * 7])
    assert memory_warnings(rich_first, Sanitizers({KASAN})) == ()
    assert memory_warnings(poor_first, Sanitizers({KASAN})) != ()


def test_without_a_sanitizer_there_is_no_shadow() -> None:
    assert memory_warnings(Topology.even(8, 1, 128), NONE) == ()


def test_a_guest_whose_srat_is_refused_has_one_domain_with_everything() -> None:
    cpuless = Topology.of([Node(2, 256), Node(0, 1024)])
    assert memory_warnings(cpuless, Sanitizers({KASAN})) == ()


@given(st.integers(1, 7), st.integers(512, 8192))
def test_more_domains_and_more_memory_need_more_in_the_first(domains: int, total: int) -> None:
    for sanitizer in (Sanitizers({KASAN}), Sanitizers({KMSAN})):
        needed = first_domain_needs_mib(domains, total, sanitizer)
        assert first_domain_needs_mib(domains + 1, total, sanitizer) > needed
        assert first_domain_needs_mib(domains, total + 1024, sanitizer) > needed
