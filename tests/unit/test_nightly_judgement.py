"""The schedule, the statistics, the judgement and the news of nights, as properties."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.nightly.ending import exit_code, unmended
from harness.nightly.failures import BUILD, FailureKey
from harness.nightly.judgement import (
    Repeats,
    SeenProblem,
    classified,
    incidents_of,
    judged,
    needs_repeats,
)
from harness.nightly.news import NightChange, news_of, untold
from harness.nightly.night import Classification, Incident, NewsKind, Problem
from harness.nightly.result import Purpose, Result, Slot, Status
from harness.nightly.schedule import schedule
from harness.nightly.statistics import FALSE_ALARMS, is_flakier, passes_for_fixed, rose, wilson

SLOT = Slot("tree:main", "boot-none-numa2")
OTHER = Slot("tree:main", "boot-none-numa4")
PANIC = FailureKey("boot", "no ideas left")
counts = st.integers(0, 60)


# --- schedule ---------------------------------------------------------------------------------


@given(st.integers(0, 300))
def test_each_revision_is_tested_once_and_the_tip_first(count: int) -> None:
    order = schedule(count)
    assert sorted(order) == list(range(1, count + 1))
    assert not order or order[0] == count


@given(st.integers(1, 200), st.integers(1, 200))
def test_whenever_the_budget_ends_no_gap_is_twice_as_wide_as_it_must_be(
    count: int, tested: int
) -> None:
    known = sorted({0, *schedule(count)[:tested]})
    widest = max(new - old for old, new in zip(known, [*known[1:], count], strict=True))
    gaps = min(tested, count)
    assert widest <= 2 * math.ceil(count / gaps)


# --- statistics -------------------------------------------------------------------------------


@given(counts, counts)
def test_interval_holds_the_rate(failed: int, passed: int) -> None:
    low, high = wilson(failed, failed + passed)
    assert 0.0 <= low <= high <= 1.0
    if failed + passed:
        assert low <= failed / (failed + passed) <= high


@given(st.integers(1, 60), counts)
def test_a_problem_that_goes_on_is_seldom_called_fixed(failed: int, passed: int) -> None:
    boots = failed + passed
    low, _ = wilson(failed, boots)
    assert (1 - low) ** passes_for_fixed(failed, boots) <= 0.001 + 1e-9


def test_fishers_test_is_that_of_the_textbook() -> None:
    """The lady tasting tea (Fisher 1935): 3 of 4 by chance has p = 17/70."""
    assert rose(3, 4, 1, 4) == pytest.approx(17 / 70)
    assert rose(4, 4, 0, 4) == pytest.approx(1 / 70)


def test_a_rate_that_did_not_change_is_seldom_called_risen() -> None:
    """Exactly, over all outcomes of a night: whatever the rate, at most one night in 200."""
    boots, before = 12, 30
    for rate in (0.02, 0.1, 0.3, 0.6):
        alarms = sum(
            math.comb(boots, now) * math.comb(before, past) * rate ** (now + past)
            * (1 - rate) ** (boots + before - now - past)
            for now in range(boots + 1)
            for past in range(before + 1)
            if is_flakier(now, boots, past, before, 1)
        )  # fmt: skip
        assert alarms <= FALSE_ALARMS


# --- judgement --------------------------------------------------------------------------------


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), counts)
def test_a_regression_has_failed_in_every_repeat(
    failed: int, passed: int, other: int, host: int, sightings: int
) -> None:
    kind, why = classified(PANIC, Repeats(failed, passed, other, host), sightings)
    assert why
    if kind is Classification.REGRESSION:
        assert failed
        assert not passed
    if kind is Classification.HOST:
        assert not failed + passed + other
    if passed and failed:
        assert kind is Classification.FLAKY
    assert kind is not Classification.BUILD


@pytest.mark.parametrize(("elsewhere", "back", "expected"), [
    (Repeats(passed=5), Repeats(failed=5), Classification.HOST),
    (Repeats(passed=5), Repeats(failed=1, passed=4), Classification.FLAKY),
    (Repeats(passed=5), Repeats(passed=5), Classification.UNDECIDED),
    (Repeats(passed=5), Repeats(host=5), Classification.UNDECIDED),
    (Repeats(passed=5), None, Classification.UNDECIDED),
])  # fmt: skip
def test_what_no_other_host_shows_is_the_hosts_if_that_one_always_does(
    elsewhere: Repeats, back: Repeats | None, expected: Classification
) -> None:
    assert classified(PANIC, replace(elsewhere, back=back), 1)[0] is expected


def test_a_build_is_judged_by_its_repeat() -> None:
    broken = FailureKey(BUILD, "vm.c: error")
    assert classified(broken, Repeats(failed=1), 1)[0] is Classification.BUILD
    assert classified(broken, Repeats(passed=1), 9)[0] is Classification.UNDECIDED
    assert classified(broken, Repeats(host=1), 1)[0] is Classification.HOST


def result(slot: Slot, commit: int, failing: bool, **changed: object) -> Result:
    made = Result(
        slot, str(commit), Status.FAILED if failing else Status.PASSED, id=commit + 1,
        title=PANIC.title if failing else "",
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("streak", "repeats", "kind", "first_night"),
    [
        (0, Repeats(), Classification.REGRESSION, 1),
        (1, Repeats(), Classification.REGRESSION, 1),  # there was no time to repeat it
        (1, Repeats(failed=5), Classification.REGRESSION, 1),  # one pass may have been lucky
        (4, Repeats(failed=5), Classification.REGRESSION, 3),  # it was fixed, and is back
        (4, Repeats(failed=4, passed=1), Classification.FLAKY, 1),
    ],
)
def test_a_regression_that_passed_and_fails_again_is_flaky_or_back(
    streak: int, repeats: Repeats, kind: Classification, first_night: int
) -> None:
    first = judged(None, SeenProblem(PANIC, failed=6, repeats=Repeats(failed=5)), 1, "plan")
    previous = judged(first, SeenProblem(PANIC, passed=streak, streak=streak), 2, "plan")
    assert previous.open
    assert needs_repeats(previous, "") == (streak > 0)
    incidents = (Incident(SLOT, "2", "1", result(SLOT, 2, failing=True)),)
    seen = SeenProblem(PANIC, incidents, failed=1 + repeats.failed, repeats=repeats)
    found = judged(previous, seen, 3, "plan")
    assert (found.classification, found.first_night, found.open) == (kind, first_night, True)
    news = [each.kind for each in news_of(NightChange(3, {found.id: previous}, [found]))]
    assert news == ([NewsKind.REOPENED] if first_night == 3 else [])


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_the_newest_time_that_a_failure_came_counts(failing: list[bool]) -> None:
    planned = [result(SLOT, place, fails) for place, fails in enumerate(failing)]
    places = {(SLOT.branch, str(place)): place for place in range(len(failing))}
    shown = [each for each in planned if each.status is Status.FAILED]
    found = incidents_of(PANIC, shown, planned, places)
    if not shown:
        assert found == ()
        return
    (incident,) = found
    first = int(incident.first_bad)
    newest = max(place for place, fails in enumerate(failing) if fails)
    assert all(failing[first : newest + 1])
    assert incident.last_good == (str(first - 1) if first else "")


def seen(failed: int, passed: int, **changed: object) -> SeenProblem:
    incident = Incident(SLOT, "1", "0", result(SLOT, 1, True))
    made = SeenProblem(
        PANIC, (incident,) if failed else (), failed, passed, failed,
        streak=0 if failed else passed, fixed_at_tip=not failed and bool(passed),
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


REGRESSION = judged(None, seen(6, 0, repeats=Repeats(failed=5)), 1, "made")


def test_a_problem_has_the_same_id_every_night() -> None:
    again = judged(REGRESSION, seen(1, 0), 2, "made")
    assert again.id == REGRESSION.id == PANIC.id("made")
    assert PANIC.id("other") != REGRESSION.id
    assert not needs_repeats(again, "")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12))
def test_counts_of_all_nights_add_up_and_a_fix_needs_its_passes(
    nights: list[tuple[int, int]],
) -> None:
    problem, failed, boots, streak = REGRESSION, 6, 6, 0
    for number, (fails, passes) in enumerate(nights, start=2):
        if not problem.open:
            return
        problem = judged(problem, seen(fails, passes), number, "made")
        failed, boots = failed + fails, boots + fails + passes
        streak = 0 if fails else streak + passes
        assert (problem.rate.failed, problem.rate.boots) == (failed, boots)
        assert problem.streak == streak
        if not problem.open:
            assert streak >= passes_for_fixed(failed, boots - streak)


def test_a_problem_that_no_repeat_showed_is_flaky_when_it_is_seen_again() -> None:
    watched = judged(None, seen(1, 5, repeats=Repeats(passed=5)), 1, "made")
    assert watched.classification is Classification.UNDECIDED
    assert needs_repeats(watched, "")
    again = judged(watched, seen(1, 5, repeats=Repeats(passed=5)), 2, "made")
    assert again.classification is Classification.FLAKY


# --- news -------------------------------------------------------------------------------------


def news(before: Problem | None, now: Problem, **changed: object) -> list[NewsKind]:
    known = {before.id: before} if before else {}
    change = replace(NightChange(2, known, [now]), **changed)  # type: ignore[arg-type]
    return [each.kind for each in news_of(change)]


def test_what_is_new_is_told_and_then_it_is_old() -> None:
    assert news(None, REGRESSION) == [NewsKind.REGRESSION]
    assert news(REGRESSION, judged(REGRESSION, seen(1, 0), 2, "made")) == []
    fixed = replace(REGRESSION, open=False)
    assert news(REGRESSION, fixed) == [NewsKind.FIXED]
    assert news(fixed, replace(REGRESSION, first_night=9)) == [NewsKind.REOPENED]


def test_what_is_watched_or_known_is_no_news() -> None:
    watched = replace(REGRESSION, classification=Classification.UNDECIDED)
    assert news(None, watched) == []
    assert news(None, replace(REGRESSION, known_issue="hang")) == []
    known = replace(REGRESSION, known_issue="hang")
    assert news(known, replace(known, open=False)) == [NewsKind.UNEXPECTED]


@given(st.lists(st.booleans(), min_size=1, max_size=10))
def test_no_news_is_told_twice(fails: list[bool]) -> None:
    told: set[str] = set()
    problem, before = REGRESSION, None
    keys: list[str] = []
    for number, failing in enumerate(fails, start=1):
        known: dict[str, Problem] = {before.id: before} if before else {}
        fresh = untold(news_of(NightChange(number, known, [problem])), told)
        keys += [each.key for each in fresh]
        told |= set(keys)
        before = problem
        count = (1, 0) if failing else (0, 30)
        problem = judged(before, seen(*count, repeats=Repeats(failed=5)), number + 1, "made")
    assert len(keys) == len(set(keys))


# --- the end ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "controls", "host", "code"),
    [
        ((), False, False, 0),
        ((Classification.FLAKY, Classification.UNDECIDED), False, False, 0),
        ((Classification.BUILD, Classification.REGRESSION), False, True, 1),
        ((Classification.BUILD,), False, True, 4),
        ((), False, True, 3),
        ((Classification.REGRESSION,), True, False, 3),
    ],
)
def test_exit_code_is_that_of_the_worst(
    kinds: tuple[Classification, ...], controls: bool, host: bool, code: int
) -> None:
    problems = [replace(REGRESSION, classification=kind) for kind in kinds]
    assert exit_code(problems, controls_failed=controls, host_trouble=host) == code
    known = [replace(each, known_issue="known") for each in problems]
    quiet = 3 if controls or host else 0
    assert exit_code(known, controls_failed=controls, host_trouble=host) == quiet


def test_a_host_failure_that_a_retry_mended_is_no_trouble() -> None:
    failed = result(SLOT, 1, False, status=Status.HOST_FAILED)
    assert unmended([failed]) == [failed]
    assert unmended([failed, result(SLOT, 1, True, attempt=1)]) == []
    assert unmended([replace(failed, purpose=Purpose.REPEAT)]) == []
