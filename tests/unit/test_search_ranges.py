"""Between which revisions a culprit or a fix is searched (``harness.runs.nights.ranges``)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import pytest

from harness.nightly.night import (
    BranchNight,
    Classification,
    Incident,
    Night,
    NightState,
    Problem,
    Rate,
)
from harness.nightly.result import Result, Slot, Status
from harness.runs.nights.ranges import SearchRanges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history.nights import NightReader
    from harness.nightly.cells import NightCell

BRANCH = "stable-13:main"
SLOT = Slot(BRANCH, "boot-kasan-numa4")
#: Revisions of earlier nights have the places below 0.
OLDEST, OLDER, BASE, GOOD, BAD, TIP = (letter * 40 for letter in "012abc")
PLACES = {
    (BRANCH, commit): place
    for place, commit in enumerate((OLDEST, OLDER, BASE, GOOD, BAD, TIP), start=-2)
}
NIGHT = Night(
    "made", 7, NightState.RUNNING, datetime(2026, 1, 2, tzinfo=UTC), compared_with=6,
    branches=(BranchNight(BRANCH, "/tree", TIP, BASE),),
)  # fmt: skip


def failed(commit: str) -> Result:
    return Result(SLOT, commit, Status.FAILED, title="panic: out of ideas")


def problem(classification: Classification, rate: Rate, last_good: str = GOOD) -> Problem:
    incident = Incident(SLOT, BAD, last_good, failed(BAD))
    return Problem(
        "01234567", "panic: out of ideas", "boot", classification, rate, 0, (5, 5), 7, 7, True,
        (incident,), (SLOT,),
    )  # fmt: skip


REGRESSION = problem(Classification.REGRESSION, Rate(6, 6, 0.6, 1.0))
FLAKE = problem(Classification.FLAKY, Rate(3, 6, 0.2, 0.8))


@dataclass
class History:
    """A history in which revisions have passed: the newest first, one boot each."""

    passed_at: Sequence[str] = ()
    boots: int = 100
    cell_results: History = field(init=False)

    def __post_init__(self) -> None:
        self.cell_results = self

    def passed(self, slot: Slot, before: int) -> Sequence[str]:
        assert (slot, before) == (SLOT, NIGHT.number)
        return self.passed_at

    def passes(self, slots: Sequence[Slot], before: int) -> int:
        assert (tuple(slots), before) == ((SLOT,), NIGHT.number)
        return self.boots


def ranges(history: History, night: Night = NIGHT) -> SearchRanges:
    slots = {SLOT: cast("NightCell", None)}
    return SearchRanges(slots, cast("NightReader", history), night, PLACES)


def searched(history: History, problem: Problem) -> list[tuple[str, str]] | str:
    found = ranges(history).of_culprit(problem)
    return found if isinstance(found, str) else [(each.old, each.new) for each in found]


def test_a_regression_is_searched_after_its_last_good_revision_and_then_from_further_back() -> None:
    assert searched(History(), REGRESSION) == [(GOOD, BAD)]
    assert searched(History([BASE]), REGRESSION) == [(GOOD, BAD), (BASE, BAD)]
    assert searched(History([GOOD, BASE, OLDER]), REGRESSION) == [(GOOD, BAD), (OLDER, BAD)]


def test_a_flake_is_searched_from_a_revision_after_which_it_could_not_pass_by_luck() -> None:
    boots = [GOOD] * 3 + [BASE] * 3 + [OLDER] * 3  # seven passes of one in two: 0.8 %
    assert searched(History(boots), FLAKE) == [(OLDER, BAD)]


def test_a_flake_with_few_passes_is_searched_from_the_best_revision_there_is() -> None:
    assert searched(History([GOOD, BASE, OLDER, OLDEST]), FLAKE) == [(OLDEST, BAD)]


def test_a_flake_without_passes_enough_for_either_is_not_searched() -> None:
    assert searched(History([GOOD]), FLAKE) == "no earlier revision is known to pass"


def test_a_flake_that_is_too_seldom_to_be_called_new_is_not_searched() -> None:
    assert "too rarely" in str(searched(History([GOOD] * 9, boots=2), FLAKE))


def test_nothing_is_searched_on_a_branch_that_was_rewritten() -> None:
    night = replace(NIGHT, branches=(replace(NIGHT.branches[0], rewritten=True),))
    assert ranges(History([BASE]), night).of_culprit(REGRESSION) == (
        "no earlier revision is known to pass"
    )


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([failed(BASE), Result(SLOT, TIP, Status.PASSED)], (BASE, TIP)),
        ([failed(BASE), failed(BAD), Result(SLOT, TIP, Status.PASSED)], (BAD, TIP)),
        ([Result(SLOT, BASE, Status.PASSED), failed(TIP)], None),
        ([failed(BASE), Result(SLOT, TIP, Status.NOT_RUN)], None),
    ],
)
def test_a_fix_is_searched_between_the_last_failure_and_the_next_pass(
    results: list[Result], expected: tuple[str, str] | None
) -> None:
    found = ranges(History()).of_fix(REGRESSION, results)
    assert (None if found is None else (found.old, found.new)) == expected
