"""Which domains the iterators visit, and in which order."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.subsystems.domainset.model.sets import Policy, mask_of
from harness.subsystems.uma.model.domainset import (
    Domainset,
    DomainsetRef,
    vm_domainset_iter_policy_ref_init,
)
from harness.subsystems.uma.model.variants import VARIANTS, Variant

V13, V15 = VARIANTS["13-after"], VARIANTS["15-after"]
ROUND_ROBIN = Domainset(Policy.ROUNDROBIN, (0, 1, 2))


def visited(
    variant: Variant, dr: DomainsetRef, low: int = 0, cpu_domain: int = 0, offset: int = 0
) -> list[int]:
    iterator = vm_domainset_iter_policy_ref_init(
        variant, dr, low, cpu_domain=cpu_domain, offset=offset
    )
    domains = [iterator.domain]
    while iterator.policy():
        domains.append(iterator.domain)
    return domains


def test_13_advances_before_it_reads_so_it_begins_with_the_second_domain() -> None:
    assert visited(V13, DomainsetRef(ROUND_ROBIN)) == [1, 2, 0, 1, 2, 0]


def test_15_reads_before_it_advances_and_visits_no_domain_twice() -> None:
    assert visited(V15, DomainsetRef(ROUND_ROBIN)) == [0, 1, 2]


def test_an_iterator_goes_on_where_the_last_one_stopped() -> None:
    dr = DomainsetRef(ROUND_ROBIN)
    firsts = [vm_domainset_iter_policy_ref_init(V15, dr).domain for _ in range(4)]
    assert firsts == [0, 1, 2, 0]


def test_13_visits_domains_short_of_memory_only_in_its_second_pass() -> None:
    low = mask_of([1, 2])
    assert visited(V13, DomainsetRef(ROUND_ROBIN), low) == [0, 1, 2, 0]


def test_15_visits_domains_short_of_memory_in_phase_2() -> None:
    assert visited(V15, DomainsetRef(ROUND_ROBIN), mask_of([0])) == [1, 2, 0]


def test_13_goes_through_a_first_touch_set_from_the_cpus_own_domain() -> None:
    dr = DomainsetRef(Domainset(Policy.FIRSTTOUCH, (0, 1)))
    assert visited(V13, dr, cpu_domain=1) == [1, 1, 0, 1, 1, 0]


def test_15_visits_the_cpus_own_domain_once() -> None:
    dr = DomainsetRef(Domainset(Policy.FIRSTTOUCH, (0, 1)))
    assert visited(V15, dr, cpu_domain=1) == [1, 0]


@pytest.mark.parametrize("variant", [V13, V15])
def test_a_cpu_outside_a_first_touch_set_gets_round_robin(variant: Variant) -> None:
    dr = DomainsetRef(Domainset(Policy.FIRSTTOUCH, (0, 1)))
    assert set(visited(variant, dr, cpu_domain=5)) == {0, 1}


@pytest.mark.parametrize("variant", [V13, V15])
def test_the_preferred_domain_comes_first(variant: Variant) -> None:
    dr = DomainsetRef(Domainset(Policy.PREFER, (0, 1, 2), prefer=2))
    order = visited(variant, dr)[:3]
    assert order[0] == 2
    assert set(order) == {0, 1, 2}


@pytest.mark.parametrize("variant", [V13, V15])
def test_interleaving_begins_where_its_offset_says(variant: Variant) -> None:
    dr = DomainsetRef(Domainset(Policy.INTERLEAVE, (0, 1, 2)))
    assert visited(variant, dr, offset=5)[0] == 2


def test_an_interleaving_iterator_of_13_moves_the_set_on() -> None:
    dr = DomainsetRef(Domainset(Policy.INTERLEAVE, (0, 1, 2)))
    assert visited(V13, dr, offset=1)[:3] == [1, 2, 0]


def test_empty_domains_are_taken_out_and_the_others_keep_their_order() -> None:
    found = Domainset(Policy.ROUNDROBIN, (0, 1, 2, 3)).without(mask_of([0, 2]))
    assert found == Domainset(Policy.ROUNDROBIN, (1, 3))


def test_a_set_of_empty_domains_is_gone() -> None:
    assert Domainset(Policy.ROUNDROBIN, (1,)).without(mask_of([1])) is None


def test_a_preference_for_an_empty_domain_becomes_round_robin() -> None:
    found = Domainset(Policy.PREFER, (0, 1), prefer=1).without(mask_of([1]))
    assert found == Domainset(Policy.ROUNDROBIN, (0,))


@given(
    variant=st.builds(Variant, st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    policy=st.sampled_from(Policy),
    order=st.sets(st.integers(0, 7), min_size=1).map(lambda found: tuple(sorted(found))),
    low=st.integers(0, 255),
    place=st.integers(0, 20),
    cpu_domain=st.integers(0, 7),
    offset=st.integers(0, 20),
)
def test_every_domain_of_a_set_is_visited_and_no_other(
    variant: Variant,
    policy: Policy,
    order: tuple[int, ...],
    low: int,
    place: int,
    cpu_domain: int,
    offset: int,
) -> None:
    # Interleaving over 13.x's passes relies on the iterator to advance first.
    assume(policy is not Policy.INTERLEAVE or variant.masked or variant.advances_first)
    prefer = order[0] if policy is Policy.PREFER else -1
    dr = DomainsetRef(Domainset(policy, order, prefer), place)
    domains = visited(variant, dr, low, cpu_domain, offset)
    assert set(domains) == set(order)
    if variant.masked:
        assert len(domains) == len(order)
        rich = [domain for domain in domains if not low >> domain & 1]
        assert domains[: len(rich)] == rich
