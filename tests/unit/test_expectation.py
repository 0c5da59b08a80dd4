"""What a boot should come to, by what was read of its tree, on the topologies that people use."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import product

import pytest
from cells import IDENTITY

from harness.guest.topology import Node, Topology
from harness.outcome import Outcome
from harness.sanitizers import KASAN, NONE, TABLE, Sanitizers
from harness.source.codefacts import Facts
from harness.subsystems.uma.codeforms import NAME
from harness.subsystems.uma.expectation import expected_of
from harness.subsystems.uma.model.variants import VARIANTS

AFTER_FORM = VARIANTS["13-after"]
BEFORE_FORM = VARIANTS["13-before"]
AFTER = replace(IDENTITY, sanitizer=Sanitizers({KASAN}), facts={NAME: Facts(asdict(AFTER_FORM))})
BEFORE = replace(AFTER, facts={NAME: Facts(asdict(BEFORE_FORM))})
UNREAD = replace(AFTER, facts={})
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
    plain = replace(BEFORE, sanitizer=NONE)
    assert expected_of(plain, Topology.even(4)).outcomes == BOOTED


def test_the_built_in_guest_needs_the_reserve_with_any_sanitizer_or_none() -> None:
    built_in = replace(BEFORE, is_freebsd=False, sanitizer=NONE)
    assert expected_of(built_in, Topology.even(2)).outcomes == PANIC


def test_what_could_not_be_read_leaves_it_open_where_it_matters() -> None:
    assert expected_of(UNREAD, Topology.even(1)).outcomes == BOOTED
    assert expected_of(UNREAD, Topology.even(4)).outcomes == ()


def test_code_of_no_known_form_is_expected_to_boot_whatever_is_assumed() -> None:
    facts = Facts(asdict(BEFORE_FORM), "the form of 1a2b3c4d5e")
    changed = replace(BEFORE, facts={NAME: facts})
    expectation = expected_of(changed, Topology.even(4))
    assert (expectation.outcomes, expectation.assumed) == (BOOTED, PANIC)
    assert "assumed: panic, by the form of 1a2b3c4d5e" in expectation.why


def test_every_answer_has_a_reason() -> None:
    forms = [Facts(asdict(variant)) for variant in VARIANTS.values()]
    sets = (NONE, *(Sanitizers({row}) for row in TABLE))
    for facts, sanitizer, nodes in product((*forms, Facts()), sets, (1, 2, 8)):
        identity = replace(IDENTITY, sanitizer=sanitizer, facts={NAME: facts})
        assert expected_of(identity, Topology.even(nodes)).why
