"""Which domains the iterators visit, and in which order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.subsystems.domainset.model.form import Form
from harness.subsystems.domainset.model.iterator import DomainsetIter
from harness.subsystems.domainset.model.iteratorforms import ITERATORS
from harness.subsystems.domainset.model.machine import KernelState, Wait, uncounted
from harness.subsystems.domainset.model.sets import Domainset, DomainsetRef, Policy, mask_of

V13, V15 = Form.COUNTED, Form.PHASED
ROUND_ROBIN = Domainset(Policy.ROUNDROBIN, 0b111)


def made(
    form: Form,
    dr: DomainsetRef,
    low: int = 0,
    cpu_domain: int = 0,
    advances_first: bool | None = None,
) -> DomainsetIter:
    machine = KernelState(vm_min_domains=low, cpu_domain=cpu_domain)
    iterator = ITERATORS[form](machine, dr, uncounted, advances_first=advances_first)
    assert iterator.vm_domainset_iter_policy_ref_init(dr, Wait.NOWAIT) == 0
    return iterator


def visited(
    form: Form,
    dr: DomainsetRef,
    low: int = 0,
    cpu_domain: int = 0,
    advances_first: bool | None = None,
) -> list[int]:
    iterator = made(form, dr, low, cpu_domain, advances_first)
    domains = [iterator.domain]
    while iterator.vm_domainset_iter_policy() == 0:
        domains.append(iterator.domain)
    return domains


def test_13_advances_before_it_reads_so_it_begins_with_the_second_domain() -> None:
    assert visited(V13, DomainsetRef(ROUND_ROBIN)) == [1, 2, 0, 1, 2, 0]


def test_15_reads_before_it_advances_and_visits_no_domain_twice() -> None:
    assert visited(V15, DomainsetRef(ROUND_ROBIN)) == [0, 1, 2]


def test_an_iterator_goes_on_where_the_last_one_stopped() -> None:
    dr = DomainsetRef(ROUND_ROBIN)
    firsts = [made(V15, dr).domain for _ in range(4)]
    assert firsts == [0, 1, 2, 0]


def test_13_visits_domains_short_of_memory_only_in_its_second_pass() -> None:
    low = mask_of([1, 2])
    assert visited(V13, DomainsetRef(ROUND_ROBIN), low) == [0, 1, 2, 0]


def test_15_visits_domains_short_of_memory_in_phase_2() -> None:
    assert visited(V15, DomainsetRef(ROUND_ROBIN), mask_of([0])) == [1, 2, 0]


def test_13_goes_through_a_first_touch_set_from_the_cpus_own_domain() -> None:
    dr = DomainsetRef(Domainset(Policy.FIRSTTOUCH, 0b11))
    assert visited(V13, dr, cpu_domain=1) == [1, 1, 0, 1, 1, 0]


def test_15_visits_the_cpus_own_domain_once() -> None:
    dr = DomainsetRef(Domainset(Policy.FIRSTTOUCH, 0b11))
    assert visited(V15, dr, cpu_domain=1) == [1, 0]


@pytest.mark.parametrize("form", [V13, V15])
def test_a_cpu_outside_a_first_touch_set_gets_round_robin(form: Form) -> None:
    dr = DomainsetRef(Domainset(Policy.FIRSTTOUCH, 0b11))
    assert set(visited(form, dr, cpu_domain=5)) == {0, 1}


@pytest.mark.parametrize("form", [V13, V15])
def test_the_preferred_domain_comes_first(form: Form) -> None:
    dr = DomainsetRef(Domainset(Policy.PREFER, 0b111, prefer=2))
    order = visited(form, dr)[:3]
    assert order[0] == 2
    assert set(order) == {0, 1, 2}


def test_empty_domains_are_taken_out_and_the_others_keep_their_order() -> None:
    found = Domainset(Policy.ROUNDROBIN, 0b1111).without(mask_of([0, 2]))
    assert found == Domainset(Policy.ROUNDROBIN, 0b1010)


def test_a_set_of_empty_domains_is_gone() -> None:
    assert Domainset(Policy.ROUNDROBIN, 0b10).without(mask_of([1])) is None


def test_a_preference_for_an_empty_domain_becomes_round_robin() -> None:
    found = Domainset(Policy.PREFER, 0b11, prefer=1).without(mask_of([1]))
    assert found == Domainset(Policy.ROUNDROBIN, 0b1)


@given(
    form=st.sampled_from((V13, V15)),
    advances_first=st.sampled_from((True, False, None)),
    policy=st.sampled_from([each for each in Policy if each is not Policy.INTERLEAVE]),
    order=st.sets(st.integers(0, 7), min_size=1).map(lambda found: tuple(sorted(found))),
    low=st.integers(0, 255),
    place=st.integers(0, 20),
    cpu_domain=st.integers(0, 7),
)
def test_every_domain_of_a_set_is_visited_and_no_other_in_either_order(
    form: Form,
    advances_first: bool | None,
    policy: Policy,
    order: tuple[int, ...],
    low: int,
    place: int,
    cpu_domain: int,
) -> None:
    prefer = order[0] if policy is Policy.PREFER else -1
    dr = DomainsetRef(Domainset(policy, mask_of(order), prefer), place)
    domains = visited(form, dr, low, cpu_domain, advances_first)
    assert set(domains) == set(order)
    if form is V15:
        assert len(domains) == len(order)
        rich = [domain for domain in domains if not low >> domain & 1]
        assert domains[: len(rich)] == rich
