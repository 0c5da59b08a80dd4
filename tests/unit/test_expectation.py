"""What a boot should come to, by what was read of its tree, on the topologies that people use."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from cells import IDENTITY

from harness.expectation import expected_of
from harness.guest.topology import Node, Topology
from harness.outcome import Outcome

BEFORE = replace(IDENTITY, reserve_fallback=False, advances_first=True, reserve_at_boot=True)
AFTER = replace(BEFORE, reserve_fallback=True)
UNREAD = replace(BEFORE, reserve_fallback=None, advances_first=None)
BOOTED, PANIC = (Outcome.BOOTED,), (Outcome.PANIC,)


@pytest.mark.parametrize("nodes", range(1, 9))
def test_kernel_with_the_change_boots_everywhere(nodes: int) -> None:
    assert expected_of(AFTER, Topology.even(nodes)).outcomes == BOOTED


@pytest.mark.parametrize("nodes", range(2, 9))
def test_kernel_before_the_change_dies_where_the_reserve_lies_in_another_domain(
    nodes: int,
) -> None:
    expectation = expected_of(BEFORE, Topology.even(nodes))
    assert expectation.outcomes == PANIC
    assert expectation.why


def test_with_one_domain_it_boots() -> None:
    assert expected_of(BEFORE, Topology.even(1)).outcomes == BOOTED


def test_node_without_cpus_makes_one_domain_of_all() -> None:
    topology = Topology.of([Node(1, 1024), Node(0, 1024)])
    assert expected_of(BEFORE, topology).outcomes == BOOTED


def test_with_the_direct_map_no_reserve_is_needed() -> None:
    assert expected_of(replace(BEFORE, reserve_at_boot=False), Topology.even(4)).outcomes == BOOTED


def test_what_could_not_be_read_leaves_it_open_where_it_matters() -> None:
    assert expected_of(UNREAD, Topology.even(1)).outcomes == BOOTED
    assert expected_of(UNREAD, Topology.even(4)).outcomes == ()


def test_code_of_no_known_form_is_expected_to_boot_whatever_is_assumed() -> None:
    changed = replace(BEFORE, assumed="the form of 314a92d5a1")
    expectation = expected_of(changed, Topology.even(4))
    assert (expectation.outcomes, expectation.assumed) == (BOOTED, PANIC)
    assert "assumed: panic, by the form of 314a92d5a1" in expectation.why


def test_every_answer_has_a_reason() -> None:
    for fallback, advances, reserve, nodes in product(
        (True, False, None), (True, False, None), (True, False), (1, 2, 8)
    ):
        identity = replace(
            IDENTITY, reserve_fallback=fallback, advances_first=advances, reserve_at_boot=reserve
        )
        assert expected_of(identity, Topology.even(nodes)).why
