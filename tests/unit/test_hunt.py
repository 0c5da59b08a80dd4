"""A search without a model: what is known of a tree does not hide what a change of it breaks."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
from scripted_programs import program

from harness.check.checker import CheckPlan
from harness.host.clock import HostClock
from harness.host.progress import Recorded
from harness.onhost.hunt import Hunt
from harness.subsystems.table import find_subsystem
from harness.subsystems.zones.operations import in_words
from harness.subsystems.zones.trace import Trace


def hunted(
    changed: Callable[[Trace], bool],
    base: Callable[[Trace], bool] | None,
    with_fix: Callable[[Trace], bool] | None = None,
) -> Hunt:
    held = find_subsystem("zones").held_to({})
    plan = CheckPlan(held, 6_000, 1)
    below = program(base) if base is not None else None
    fixed = program(with_fix) if with_fix is not None else None
    hunt = Hunt(
        plan, program(changed), lambda: below, lambda _: fixed, HostClock(), Recorded()
    )  # fmt: skip
    hunt.run()
    return hunt


words_of = functools.cache(in_words)


def uses_reserve(trace: Trace) -> bool:
    return any("M_USE_RESERVE" in words_of(each) for each in trace.operations)


def drains(trace: Trace) -> bool:
    return any("drain-cpu" in words_of(each) for each in trace.operations)


def test_a_known_case_of_an_untouched_tree_fails_nothing() -> None:
    (found,) = hunted(uses_reserve, None).findings
    assert found.known == "bucket-domain"


def test_a_known_case_that_the_base_shows_too_is_not_the_change_s() -> None:
    findings = hunted(uses_reserve, uses_reserve).findings
    assert findings
    assert all(found.known for found in findings)


@pytest.mark.parametrize("both", [False, True])
def test_a_change_that_breaks_what_a_known_case_breaks_is_found(*, both: bool) -> None:
    def broken(trace: Trace) -> bool:
        return drains(trace) or (both and uses_reserve(trace))

    hunt = hunted(broken, uses_reserve)
    new = [found.trace for found in hunt.findings if not found.known]
    assert new
    for trace in new:
        assert isinstance(trace, Trace)
        assert drains(trace)
        assert not uses_reserve(trace)
    assert hunt.shortest == new[0]


def test_a_known_case_that_a_change_moves_to_other_traces_is_not_the_change_s() -> None:
    held = find_subsystem("zones").held_to({})
    with_fix = program(lambda _: False)
    hunt = Hunt(
        CheckPlan(held, 2000, 1), program(uses_reserve), lambda: program(drains),
        lambda _: program(drains), HostClock(), Recorded(), changed=lambda _: with_fix,
    )  # fmt: skip
    hunt.run()
    assert hunt.findings
    assert all(found.known for found in hunt.findings)


def test_a_new_finding_that_shows_again_and_again_ends_the_search() -> None:
    hunt = hunted(lambda trace: not uses_reserve(trace), None)
    assert sum(found.times for found in hunt.findings) == 50


def test_a_finding_that_a_case_s_fix_removes_is_of_that_case() -> None:
    (found,) = hunted(uses_reserve, None, with_fix=lambda trace: False).findings
    assert found.known == "bucket-domain"


def test_a_finding_that_a_case_s_fix_does_not_remove_is_another_one() -> None:
    new = hunted(uses_reserve, None, with_fix=uses_reserve).findings
    assert new
    assert not any(found.known for found in new)
