"""What ``keg_fetch_slab`` and what it calls do, before the commit and after it."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.subsystems.uma.model.flags import (
    M_NOVM,
    M_NOWAIT,
    M_USE_RESERVE,
    M_WAITOK,
    KernelAssertion,
)
from harness.subsystems.uma.model.memory import Blocked
from harness.subsystems.uma.model.shape import Shape
from harness.subsystems.uma.model.variants import VARIANTS, Variant
from harness.subsystems.uma.model.zone import Zone

EVERY = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
BEFORE = pytest.mark.parametrize("variant", [VARIANTS["13-before"], VARIANTS["15-before"]])
AFTER = pytest.mark.parametrize("variant", [VARIANTS["13-after"], VARIANTS["15-after"]])
FROM_RESERVE = M_NOWAIT | M_NOVM | M_USE_RESERVE
KMAP_ENTRY = Shape(domains=2, ipers=42, reserve=2)


def keg_with_slab_in(domain: int, variant: Variant, shape: Shape = KMAP_ENTRY) -> Zone:
    place = domain - 1 if variant.advances_first else domain
    zone = Zone(variant, shape._replace(place=place % shape.domains))
    assert zone.uma_prealloc(1).domain == domain
    return zone


@BEFORE
def test_before_the_commit_a_reserve_elsewhere_is_out_of_reach(variant: Variant) -> None:
    zone = keg_with_slab_in(1, variant)
    assert zone.uma_zalloc(FROM_RESERVE, cpu_domain=0).item is None


@AFTER
def test_after_the_commit_the_reserve_of_another_domain_is_drained(variant: Variant) -> None:
    zone = keg_with_slab_in(1, variant)
    assert zone.uma_zalloc(FROM_RESERVE, cpu_domain=0).domain == 1


def test_prealloc_begins_with_the_second_domain_on_13_and_with_the_first_on_15() -> None:
    placed = {
        name: Zone(variant, KMAP_ENTRY).uma_prealloc(2).domain for name, variant in VARIANTS.items()
    }
    assert placed == {"13-before": 1, "13-after": 1, "15-before": 0, "15-after": 0}


@EVERY
def test_the_reserve_is_kept_from_those_who_do_not_name_it(variant: Variant) -> None:
    zone = keg_with_slab_in(0, variant)
    got = [zone.uma_zalloc(M_NOWAIT | M_NOVM).item is not None for _ in range(42)]
    assert got == [True] * 40 + [False] * 2
    assert zone.uma_zalloc(FROM_RESERVE).item is not None


@EVERY
def test_a_fresh_slab_is_made_where_the_item_is_asked_for(variant: Variant) -> None:
    outcome = Zone(variant, KMAP_ENTRY).uma_zalloc(M_NOWAIT, cpu_domain=1)
    assert (outcome.item, outcome.domain, outcome.calls) == (0, 1, (1,))


@EVERY
def test_no_fresh_slab_under_novm(variant: Variant) -> None:
    outcome = Zone(variant, KMAP_ENTRY).uma_zalloc(M_NOWAIT | M_NOVM)
    assert (outcome.item, outcome.calls) == (None, ())


@AFTER
def test_a_fresh_slab_elsewhere_serves_the_reserve_too(variant: Variant) -> None:
    zone = Zone(variant, KMAP_ENTRY)
    zone.memory.refusing = 0b01
    outcome = zone.uma_zalloc(M_NOWAIT | M_USE_RESERVE, cpu_domain=0)
    assert outcome.domain == 1
    assert outcome.calls[0] == 0


@AFTER
def test_after_the_commit_waitok_waits_for_the_domain_that_is_short(variant: Variant) -> None:
    zone = Zone(variant, KMAP_ENTRY)
    zone.memory.refusing = zone.memory.vm_min_domains = 0b10
    assert zone.uma_zalloc(M_WAITOK, cpu_domain=1).blocked == Blocked(True, (1,))


@BEFORE
def test_before_the_commit_waitok_tries_again_for_ever(variant: Variant) -> None:
    zone = Zone(variant, KMAP_ENTRY)
    zone.memory.refusing = zone.memory.vm_min_domains = 0b10
    assert zone.uma_zalloc(M_WAITOK, cpu_domain=1).blocked == Blocked(False, (1,))


@AFTER
def test_the_wait_returns_at_once_while_the_domain_is_above_its_minimum(variant: Variant) -> None:
    zone = Zone(variant, KMAP_ENTRY)
    zone.memory.refusing = 0b10
    assert zone.uma_zalloc(M_WAITOK, cpu_domain=1).blocked == Blocked(False, (1,))


@EVERY
def test_round_robin_waits_for_any_domain(variant: Variant) -> None:
    zone = Zone(variant, KMAP_ENTRY._replace(first_touch=False))
    zone.memory.refusing = zone.memory.vm_min_domains = 0b11
    assert zone.uma_zalloc(M_WAITOK).blocked == Blocked(True, (0, 1))


@EVERY
def test_a_domain_that_recovers_gives_slabs_again(variant: Variant) -> None:
    zone = Zone(variant, KMAP_ENTRY)
    zone.memory.refusing = zone.memory.vm_min_domains = 0b10
    zone.uma_zalloc(M_WAITOK, cpu_domain=1)
    zone.memory.refusing = zone.memory.vm_min_domains = 0
    assert zone.uma_zalloc(M_WAITOK, cpu_domain=1).domain == 1


@EVERY
def test_a_domain_with_all_its_slabs_in_use_has_run_out(variant: Variant) -> None:
    zone = Zone(variant, Shape(domains=1, ipers=1, slabs=1))
    item = zone.uma_zalloc(M_NOWAIT).item
    assert zone.uma_zalloc(M_NOWAIT).item is None
    assert item is not None
    zone.uma_zfree(item)
    assert zone.uma_zalloc(M_NOWAIT).item == item


@EVERY
def test_an_empty_domain_is_served_from_any(variant: Variant) -> None:
    zone = Zone(variant, Shape(domains=3, ipers=2, empty=0b001))
    assert zone.uma_zalloc(M_NOWAIT, cpu_domain=0).domain in {1, 2}


@EVERY
def test_hashed_slabs_stand_in_domain_0_wherever_their_memory_lies(variant: Variant) -> None:
    zone = Zone(variant, KMAP_ENTRY._replace(hashed=True))
    outcome = zone.uma_zalloc(M_NOWAIT, cpu_domain=1)
    assert outcome.domain == 1
    assert [domain.ud_pages for domain in zone.uz_keg.uk_domain] == [1, 0]
    assert zone.uma_zalloc(M_NOWAIT, cpu_domain=0).domain == 1


@EVERY
def test_the_slab_freed_last_is_used_first(variant: Variant) -> None:
    zone = Zone(variant, Shape(domains=1, ipers=1))
    items = [zone.uma_zalloc(M_NOWAIT).item for _ in range(3)]
    for item in items:
        assert item is not None
        zone.uma_zfree(item)
    assert zone.uma_zalloc(M_NOWAIT).item == items[-1]


@EVERY
def test_drain_keeps_the_reserve(variant: Variant) -> None:
    zone = Zone(variant, Shape(domains=1, ipers=2, reserve=3))
    zone.uma_prealloc(10)
    assert zone.uma_zone_reclaim_domain(0) == 3
    assert zone.uz_keg.uk_domain[0].ud_free_items == 4


@EVERY
def test_waitok_with_novm_is_asserted_against(variant: Variant) -> None:
    with pytest.raises(KernelAssertion, match="keg_fetch_slab: invalid flags"):
        Zone(variant, KMAP_ENTRY).uma_zalloc(M_WAITOK | M_NOVM)


@EVERY
def test_stock_allocators_assert_that_the_reserve_is_not_waited_for(variant: Variant) -> None:
    zone = Zone(variant, KMAP_ENTRY._replace(stock=True))
    with pytest.raises(KernelAssertion, match="M_USE_RESERVE requires M_NOWAIT"):
        zone.uma_zalloc(M_WAITOK | M_USE_RESERVE)


@EVERY
def test_stock_allocators_sleep_by_themselves(variant: Variant) -> None:
    zone = Zone(variant, KMAP_ENTRY._replace(stock=True))
    zone.memory.refusing = 0b10
    assert zone.uma_zalloc(M_WAITOK, cpu_domain=1).blocked == Blocked(True, (1,))


@EVERY
def test_a_round_robin_zone_takes_no_domain(variant: Variant) -> None:
    zone = Zone(variant, KMAP_ENTRY._replace(first_touch=False))
    with pytest.raises(KernelAssertion, match="non-FIRSTTOUCH"):
        zone.uma_zalloc_domain(1, M_NOWAIT)


@EVERY
def test_a_domain_that_is_none_is_asserted_against(variant: Variant) -> None:
    with pytest.raises(KernelAssertion, match="out of range"):
        Zone(variant, KMAP_ENTRY).uma_zalloc_domain(2, M_NOWAIT)


@EVERY
def test_an_item_is_freed_once(variant: Variant) -> None:
    zone = Zone(variant, KMAP_ENTRY)
    item = zone.uma_zalloc(M_NOWAIT).item
    assert item is not None
    zone.uma_zfree(item)
    with pytest.raises(KernelAssertion, match="duplicate free"):
        zone.uma_zfree(item)


@EVERY
def test_a_used_zone_gets_no_other_reserve(variant: Variant) -> None:
    zone = Zone(variant, KMAP_ENTRY)
    zone.uma_prealloc(2)
    zone.uma_zone_reserve(3)
    zone.uma_zalloc(M_NOWAIT)
    with pytest.raises(KernelAssertion, match="uma_zone_reserve"):
        zone.uma_zone_reserve(2)


def test_a_machine_without_memory_is_refused() -> None:
    with pytest.raises(UsageError, match="no domain has memory"):
        Zone(VARIANTS["13-after"], Shape(domains=2, ipers=1, empty=0b11))
