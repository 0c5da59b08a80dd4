"""The sentence on top of a night's page, as it is read aloud."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.nightly.night import (
    BranchNight,
    Classification,
    JudgedNight,
    News,
    NewsKind,
    Night,
    NightState,
    Problem,
    ProvenCulprit,
    Rate,
)
from harness.nightly.result import Purpose, Result, Slot, Status
from harness.nightly.sentence import night_sentence

SLOTS = tuple(Slot("stable-13:main", f"boot-none-numa{count}") for count in (1, 2, 4))
NIGHT = Night(
    "made", 7, NightState.ENDED, datetime(2026, 1, 2, tzinfo=UTC), compared_with=6,
    branches=(BranchNight("stable-13:main", "/tree", "b" * 40, "a" * 40),),
)  # fmt: skip
PASSED = tuple(Result(slot, "b" * 40, Status.PASSED) for slot in SLOTS)
REGRESSION = Problem(
    "01234567", "panic: no ideas left", "boot", Classification.REGRESSION, Rate(6, 6, 0.6, 1.0), 0,
    (5, 5), 7, 7, True, (), SLOTS[:1],
)  # fmt: skip
CULPRIT = ProvenCulprit("4f2a91c" + "0" * 33, "vm: hand out less", SLOTS[:1], ())


def opened(problem: Problem, kind: NewsKind = NewsKind.REGRESSION) -> News:
    return News(kind, f"{kind}:{problem.id}", "", problem.id)


def night(*problems: Problem, old: tuple[Problem, ...] = (), news: tuple[News, ...] = (),
          results: tuple[Result, ...] = PASSED, **changed: object) -> str:  # fmt: skip
    told = (*map(opened, problems), *news)
    whole = replace(NIGHT, **changed)  # type: ignore[arg-type]
    return night_sentence(JudgedNight(whole, results, (*problems, *old), told))


def other(problem: Problem, number: int, **changed: object) -> Problem:
    return replace(problem, id=f"{number:08}", **changed)  # type: ignore[arg-type]


def test_a_good_night() -> None:
    assert night() == "Nothing is broken in three cells"
    assert night(branches=(*NIGHT.branches, *NIGHT.branches)) == (
        "Nothing is broken in three cells of two branches"
    )


def test_new_problems_and_their_commits() -> None:
    traced = replace(REGRESSION, culprit=CULPRIT)
    since = "since 4f2a91c000 (vm: hand out less)"
    assert night(REGRESSION) == "One new regression in three cells"
    assert night(traced) == f"One new regression in three cells, {since}"
    assert night(traced, other(traced, 1)) == f"Two new regressions in three cells, both {since}"
    assert night(traced, other(REGRESSION, 1)) == (
        f"Two new regressions in three cells, one {since}, one since an unknown commit"
    )
    many = [other(traced, each, culprit=replace(CULPRIT, commit=str(each) * 40))
            for each in range(1, 4)]  # fmt: skip
    assert night(*many) == "Three new regressions in three cells, since three commits"
    broken = other(REGRESSION, 2, classification=Classification.BUILD)
    flaky = other(REGRESSION, 3, classification=Classification.FLAKY)
    assert night(REGRESSION, broken, flaky) == (
        "One new regression, one new build breakage and one new flaky problem in three cells"
    )


def test_what_is_old_is_said_after_what_is_new() -> None:
    assert night(old=(REGRESSION,)) == (
        "Nothing new is broken in three cells; one older regression is still open"
    )
    traced = replace(REGRESSION, culprit=CULPRIT)
    found = News(NewsKind.CULPRIT, "culprit", "", REGRESSION.id)
    assert night(old=(traced,), news=(found,)).endswith(
        "; one older regression is still open, since 4f2a91c000 (vm: hand out less)"
    )
    fixed = replace(REGRESSION, open=False, fixed_by=CULPRIT)
    assert night(old=(fixed,)) == (
        "Nothing is broken in three cells; "
        "one problem is fixed by 4f2a91c000 (vm: hand out less)"
    )  # fmt: skip


@pytest.mark.parametrize(
    "changed", [{"known_issue": "hang"}, {"classification": Classification.UNDECIDED}]
)
def test_what_is_known_or_watched_is_not_said(changed: dict[str, object]) -> None:
    quiet = replace(REGRESSION, **changed)  # type: ignore[arg-type]
    assert night(old=(quiet,)) == "Nothing is broken in three cells"


def test_host_and_budget() -> None:
    results = (
        PASSED[0], replace(PASSED[1], status=Status.HOST_FAILED),
        replace(PASSED[2], status=Status.NOT_RUN),
    )  # fmt: skip
    unfetched = replace(NIGHT.branches[0], problem="no route to host")
    assert night(results=results, branches=(unfetched,)) == (
        "Nothing is broken in one cell; the host failed in one cell; "
        "stable-13:main was not fetched; one cell was not run"
    )
    assert night(results=results[2:]) == "No cell was tested; one cell was not run"


def test_nothing_is_claimed_when_a_control_went_wrong_or_the_night_did_not_end() -> None:
    control = replace(PASSED[0], purpose=Purpose.CONTROL, status=Status.FAILED)
    broken = News(NewsKind.CONTROL, "control", "", slot=control.slot)
    said = night(REGRESSION, news=(broken,), results=(control,), state=NightState.UNJUDGED)
    assert said.startswith("One negative control did not fail as stated, so nothing is claimed")
    assert "regression" not in said
    stopped = night(state=NightState.STOPPED, notes=("the disk\nis full",))
    assert stopped == "Night 7 stopped before it was judged: the disk is full"
    assert night(state=NightState.RUNNING) == "Night 7 has not ended"


@given(st.text(max_size=200))
def test_it_is_one_line_whatever_a_commit_is_called(subject: str) -> None:
    said = night(replace(REGRESSION, culprit=replace(CULPRIT, subject=subject)))
    assert len(said.splitlines()) == 1
    assert len(said) < 160


def test_slower_boots_are_said_without_figures() -> None:
    text = "made:main boot-none-numa2 boots slower since 4f2a91c (vm: less): 2.6 s of CPU time"
    one = News(NewsKind.SLOWER, "one", text)
    assert night(news=(one,)) == (
        "Nothing is broken in three cells; made:main boot-none-numa2 boots slower since 4f2a91c "
        "(vm: less)"
    )
    two = replace(one, key="two")
    assert night(news=(one, two)).endswith("; boots are slower on two branches")
