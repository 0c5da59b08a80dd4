"""Every state of small zones: what holds after the commit, and what did not before it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from harness.subsystems.uma.model.explore import Bounds, Exploration, explore
from harness.subsystems.uma.model.exploredkeg import Property
from harness.subsystems.uma.model.trace import parse_trace, run_trace
from harness.subsystems.uma.model.variants import VARIANTS, Variant

SMALL = Bounds(domains=3, slabs=2, depth=4)
BEFORE = pytest.mark.parametrize("name", ["13-before", "15-before"])
AFTER = pytest.mark.parametrize("name", ["13-after", "15-after"])
HASHED = pytest.mark.parametrize("hashed", [False, True])


@cache
def explored(variant: Variant, bounds: Bounds = SMALL) -> Exploration:
    """What an exploration found; several tests read the same one."""
    return explore(variant, bounds)


@pytest.mark.parametrize("depth", [4, pytest.param(5, marks=pytest.mark.long)])
@HASHED
@AFTER
def test_after_the_commit_all_holds(name: str, hashed: bool, depth: int) -> None:
    assert explored(VARIANTS[name], replace(SMALL, hashed=hashed, depth=depth)).proven


@BEFORE
def test_before_the_commit_two_operations_break_the_promise_of_the_reserve(name: str) -> None:
    trace = explored(VARIANTS[name]).broken[Property.RESERVE]
    assert len(trace.operations) == 2
    assert "M_USE_RESERVE" in str(trace.operations[-1])


@BEFORE
def test_a_counterexample_can_be_run_and_shows_what_it_says(name: str) -> None:
    trace = explored(VARIANTS[name]).broken[Property.RESERVE]
    *_, last = run_trace(parse_trace(str(trace)))
    assert last.result == "no item"
    assert any(last.free_items)


@BEFORE
def test_after_the_commit_a_counterexample_passes(name: str) -> None:
    trace = explored(VARIANTS[name]).broken[Property.RESERVE]
    after = VARIANTS[name.replace("before", "after")]
    *_, last = run_trace(replace(trace, variant=after))
    assert last.outcome is not None
    assert last.outcome.item is not None


@HASHED
@BEFORE
def test_before_the_commit_a_domain_short_of_memory_is_tried_for_ever(
    name: str, hashed: bool
) -> None:
    found = explored(VARIANTS[name], replace(SMALL, hashed=hashed))
    *_, last = run_trace(found.broken[Property.LOOP])
    assert last.result.startswith("would try again for ever")


def test_one_domain_has_nothing_to_fall_back_to() -> None:
    found = explored(VARIANTS["13-before"], Bounds(domains=1, slabs=2, depth=6))
    assert Property.RESERVE not in found.broken


@AFTER
def test_each_half_of_the_commit_is_needed(name: str) -> None:
    after = VARIANTS[name]
    no_fallback = explored(replace(after, reserve_fallback=False))
    no_wait = explored(replace(after, domain_wait=False))
    assert set(no_fallback.broken) == {Property.RESERVE}
    assert set(no_wait.broken) == {Property.LOOP}
