"""With patience, an allocation always ends: sleepers are woken, and the allocator gives in."""

from __future__ import annotations

import pytest

from harness.subsystems.uma.model.flags import M_NOWAIT, M_USE_RESERVE, M_WAITOK
from harness.subsystems.uma.model.shape import Shape
from harness.subsystems.uma.model.variants import VARIANTS, Variant
from harness.subsystems.uma.model.zone import Zone

PATIENCE = 7
EACH = pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
AFTER = pytest.mark.parametrize("variant", [VARIANTS["13-after"], VARIANTS["15-after"]])
BEFORE = pytest.mark.parametrize("variant", [VARIANTS["13-before"], VARIANTS["15-before"]])


def keg(variant: Variant, *, refusing: int, low: int) -> Zone:
    made = Zone(variant, Shape(domains=2, ipers=2, reserve=1, patience=PATIENCE))
    made.memory.refusing, made.memory.vm_min_domains = refusing, low
    return made


@EACH
def test_refused_waiting_goes_on_until_the_allocator_gives_in(variant: Variant) -> None:
    outcome = keg(variant, refusing=0b10, low=0).uma_zalloc_domain(1, M_WAITOK)
    assert outcome.calls == (1,) * PATIENCE
    assert (outcome.domain, outcome.slept, outcome.blocked) == (1, 0, None)


@AFTER
def test_after_the_commit_it_sleeps_once_if_the_domain_is_short(variant: Variant) -> None:
    made = keg(variant, refusing=0b10, low=0b10)
    outcome = made.uma_zalloc_domain(1, M_WAITOK)
    assert (outcome.slept, made.memory.vm_min_domains) == (1, 0)


@BEFORE
def test_before_the_commit_it_never_sleeps_for_a_domain(variant: Variant) -> None:
    outcome = keg(variant, refusing=0b10, low=0b10).uma_zalloc_domain(1, M_WAITOK)
    assert (outcome.slept, len(outcome.calls)) == (0, PATIENCE)


@AFTER
def test_with_the_reserve_all_domains_are_asked_in_turn(variant: Variant) -> None:
    outcome = keg(variant, refusing=0b11, low=0).uma_zalloc_domain(1, M_WAITOK | M_USE_RESERVE)
    assert set(outcome.calls) == {0, 1}
    assert len(outcome.calls) == PATIENCE


@EACH
def test_who_may_not_wait_is_refused_as_ever(variant: Variant) -> None:
    outcome = keg(variant, refusing=0b11, low=0).uma_zalloc_domain(1, M_NOWAIT)
    assert (outcome.item, outcome.calls, outcome.slept) == (None, (1,), 0)
