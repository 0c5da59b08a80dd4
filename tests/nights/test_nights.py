"""Whole nights of a made-up tree, whose guests are fake: what is found, told and kept."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from fake_nights import CONTROL, Fault, Nights
from postgres_server import new_history
from small_tree import git

from harness.errors import InfraError, UsageError
from harness.history.url import HistoryLocation
from harness.nightly.night import Classification, JudgedNight, NewsKind, NightState
from harness.nightly.result import Purpose, Slot, Status
from harness.runs.nights.openplan import NightRequest, open_plan
from harness.runs.nights.preview import preview
from harness.runs.nights.status import night_status

FOUR = (4,)

ON_BOTH = pytest.mark.parametrize("history", ["sqlite", "postgresql"], indirect=True)
"""Nights that use all of ``harness.history`` run on a server without ``--long``, too."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def history(request: pytest.FixtureRequest, tmp_path: Path) -> HistoryLocation:
    """Where a new history is."""
    return new_history(request, tmp_path)


def kinds(judged: JudgedNight) -> list[NewsKind]:
    return [news.kind for news in judged.news]


def test_a_first_night_tests_the_tip_and_has_no_news(
    tmp_path: Path, history: HistoryLocation
) -> None:
    nights = Nights(tmp_path, history=history)
    nights.commit()
    result = nights.night()
    judged = result.judged
    assert (result.exit_code, judged.night.state, kinds(judged)) == (0, NightState.ENDED, [])
    assert {each.commit for each in judged.results} == {nights.commits[-1]}
    assert len(judged.results) == 3
    one = judged.results[0]
    assert one.status is Status.PASSED
    assert one.stages
    assert b"FreeBSD" in nights.reader.console(one.console)


def test_every_commit_is_tested_and_equal_kernels_share_a_verdict(
    tmp_path: Path, history: HistoryLocation
) -> None:
    nights = Nights(tmp_path, history=history)
    nights.night()
    for equal in (False, True, True, False):
        nights.commit(equal=equal)
    before = nights.boots
    judged = nights.night().judged
    assert {each.commit for each in judged.results} == set(nights.commits[1:])
    assert nights.boots - before == 2 * 3
    assert sum(each.shared is not None for each in judged.results) == 2 * 3
    assert [each.rank for each in judged.night.revisions] == [3, 1, 2, 0]


@ON_BOTH
def test_a_regression_is_found_with_its_commit_told_once_and_fixed(
    tmp_path: Path, history: HistoryLocation
) -> None:
    nights = Nights(tmp_path, history=history)
    nights.night()
    nights.commit()
    culprit = nights.commit(Fault("no ideas left", 0, nodes=FOUR))
    nights.commit()
    first = nights.night()
    (problem,) = first.judged.problems
    assert first.exit_code == 1
    assert kinds(first.judged) == [NewsKind.REGRESSION, NewsKind.CULPRIT]
    assert problem.classification is Classification.REGRESSION
    assert problem.repeats == (5, 5)
    assert problem.culprit is not None
    assert problem.culprit.commit == nights.commits[culprit]
    assert [slot.cell for slot in problem.culprit.slots] == ["boot-none-numa4"]
    nights.commit(equal=True)
    second = nights.night()
    assert (second.exit_code, kinds(second.judged)) == (1, [])
    fix = nights.mend("no ideas left")
    nights.commit()
    third = nights.night()
    (problem,) = third.judged.problems
    assert (third.exit_code, kinds(third.judged)) == (0, [NewsKind.FIXED])
    assert problem.fixed_by is not None
    assert problem.fixed_by.commit == nights.commits[fix]
    assert (nights.night().exit_code, kinds(nights.night().judged)) == (0, [])


def test_a_flakes_commit_is_found_in_the_second_night(tmp_path: Path) -> None:
    nights = Nights(tmp_path, keys="tip_boots = 4\n")
    plan = tmp_path / "nightly.toml"
    plan.write_text(plan.read_text().replace('"1,2,4"', '"4"'))
    nights.night()
    culprit = nights.commit(Fault("no ideas left", 0, rate=0.6))
    (problem,) = nights.night().judged.problems
    assert problem.classification is Classification.FLAKY
    assert problem.culprit is not None
    assert problem.culprit.commit == nights.commits[culprit]


def test_a_culprit_is_credited_with_the_cells_in_which_it_is_proven(
    tmp_path: Path, history: HistoryLocation
) -> None:
    nights = Nights(tmp_path, history=history)
    nights.night()
    nights.commit()
    culprit = nights.commit(Fault("no ideas left", 0, nodes=(2, 4)))
    nights.commit()
    (problem,) = nights.night().judged.problems
    assert problem.culprit is not None
    assert problem.culprit.commit == nights.commits[culprit]
    cells = [slot.cell for slot in problem.culprit.slots]
    assert cells == ["boot-none-numa2", "boot-none-numa4"]


def test_a_culprit_that_passed_by_luck_is_found_all_the_same(
    tmp_path: Path, history: HistoryLocation
) -> None:
    nights = Nights(tmp_path, history=history)
    nights.night()
    culprit = nights.commit(Fault("no ideas left", 0, nodes=FOUR, spared=1))
    nights.commit()
    (problem,) = nights.night().judged.problems
    assert problem.culprit is not None
    assert problem.culprit.commit == nights.commits[culprit]


def test_two_commits_that_break_different_things_are_two_problems(
    tmp_path: Path, history: HistoryLocation
) -> None:
    nights = Nights(tmp_path, history=history)
    nights.night()
    one = nights.commit(Fault("no ideas left", 0, nodes=(2,)))
    two = nights.commit(Fault("no hope left", 0, nodes=FOUR))
    nights.commit()
    problems = nights.night().judged.problems
    found = {each.title.split()[1]: each.culprit for each in problems}
    assert {word: each.commit for word, each in found.items() if each} == {
        "ideas": nights.commits[one],
        "hope": nights.commits[two],
    }


def test_a_build_breakage_has_one_problem_and_is_mended_in_the_same_night(
    tmp_path: Path, history: HistoryLocation
) -> None:
    nights = Nights(tmp_path, history=history)
    nights.night()
    culprit = nights.commit(Fault("no such header", 0, builds=False))
    nights.commit()
    fix = nights.mend("no such header")
    result = nights.night()
    (problem,) = result.judged.problems
    assert result.exit_code == 0
    assert kinds(result.judged) == [NewsKind.BUILD, NewsKind.CULPRIT, NewsKind.FIXED]
    assert problem.culprit is not None
    assert problem.culprit.commit == nights.commits[culprit]
    assert problem.fixed_by is not None
    assert problem.fixed_by.commit == nights.commits[fix]


def test_a_build_breakage_of_several_configurations_is_one_problem_with_one_bisection(
    tmp_path: Path,
) -> None:
    nights = Nights(tmp_path, cells='[[boot]]\nnuma = "1"\nsanitizers = ["kasan"]\n')
    nights.night()
    culprit = nights.commit(Fault("no such header", 0, builds=False))
    nights.commit()
    judged = nights.night().judged
    (problem,) = judged.problems
    assert kinds(judged) == [NewsKind.BUILD, NewsKind.CULPRIT]
    assert {each.failing.configuration for each in problem.incidents} == {"none", "kasan"}
    assert problem.culprit is not None
    assert problem.culprit.commit == nights.commits[culprit]
    assert problem.culprit.slots == problem.slots
    assert "boot-kasan-numa1" in {slot.cell for slot in problem.slots}


def test_an_older_problem_keeps_its_first_bad_and_last_good_revisions(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.night()
    good = nights.commits[nights.commit()]
    bad = nights.commits[nights.commit(Fault("no ideas left", 0, nodes=FOUR))]
    nights.night()
    nights.commit()
    tip = nights.commits[nights.commit()]
    for _ in range(2):
        (problem,) = nights.night().judged.problems
        (incident,) = problem.incidents
        assert (incident.first_bad, incident.last_good) == (bad, good)
        assert incident.passing is not None
        assert incident.passing.commit == good
        assert incident.failing.commit in nights.commits[-2:]
    assert incident.failing.commit == tip


def test_a_fix_is_that_of_the_cell_which_was_fixed_last(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.night()
    nights.commit(Fault("no ideas left", 0), Fault("no ideas left", 0, nodes=FOUR))
    nights.night()
    nights.faults[0] = replace(nights.faults[0], until=nights.commit())
    nights.commit()
    fix = nights.mend("no ideas left")
    nights.commit()
    (problem,) = nights.night().judged.problems
    assert problem.fixed_by is not None
    assert problem.fixed_by.commit == nights.commits[fix]


def test_a_regression_that_comes_back_before_it_counts_as_fixed_is_told_with_its_commit(
    tmp_path: Path,
) -> None:
    nights = Nights(tmp_path, keys="tip_boots = 4\n")
    nights.night()
    nights.commit(Fault("no ideas left", 0, nodes=FOUR))
    nights.night()
    nights.mend("no ideas left")
    of_plan = nights.boots + 3 * 4

    def fail_later() -> None:
        nights.host = float(nights.boots >= of_plan)

    nights.at_boot = fail_later
    mended = nights.night().judged
    assert mended.problems[0].open
    nights.at_boot, nights.host = lambda: None, 0.0
    again = nights.commit(Fault("no ideas left", 0, nodes=FOUR))
    nights.commit()
    judged = nights.night().judged
    (problem,) = judged.problems
    assert problem.classification is Classification.REGRESSION
    assert kinds(judged) == [NewsKind.CULPRIT, NewsKind.REOPENED]
    assert problem.culprit is not None
    assert problem.culprit.commit == nights.commits[again]


def test_a_branch_that_is_gone_is_host_trouble_and_the_others_are_judged(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    plan = tmp_path / "nightly.toml"
    plan.write_text(plan.read_text().replace('["main"]', '["main", "second"]'))
    with pytest.raises(UsageError, match="no revision 'second'"):
        nights.night()  # it is misspelt
    git(nights.tree, "branch", "second")
    assert nights.night().exit_code == 0
    git(nights.tree, "branch", "--delete", "second")
    nights.commit(Fault("no ideas left", 0, nodes=FOUR))
    result = nights.night()
    branch = result.judged.night.branches[1]
    assert branch.tip == ""
    assert "no revision 'second'" in branch.problem
    assert {each.slot.branch for each in result.judged.results} == {"tree:main"}
    assert kinds(result.judged) == [NewsKind.REGRESSION, NewsKind.CULPRIT, NewsKind.HOST]
    nights.mend("no ideas left")
    result = nights.night()
    assert (result.exit_code, kinds(result.judged)) == (3, [NewsKind.FIXED])
    git(nights.tree, "branch", "second")
    assert nights.night().exit_code == 0


def test_a_branch_that_does_not_build_ends_with_4(tmp_path: Path, history: HistoryLocation) -> None:
    nights = Nights(tmp_path, history=history)
    nights.night()
    nights.commit(Fault("no such header", 0, builds=False))
    assert nights.night().exit_code == 4


@ON_BOTH
def test_with_a_small_budget_a_bisection_finds_the_commit_and_the_rest_is_not_run(
    tmp_path: Path,
    history: HistoryLocation,
) -> None:
    nights = Nights(tmp_path, history=history)
    nights.night()
    for _ in range(5):
        nights.commit()
    culprit = nights.commit(Fault("no ideas left", 0, nodes=FOUR))
    for _ in range(6):
        nights.commit()
    result = nights.night(budget=100.0)
    judged = result.judged
    left_out = {each.commit for each in judged.results if each.status is Status.NOT_RUN}
    tested = {each.commit for each in judged.results if each.status.tells}
    assert left_out
    assert left_out | tested == set(nights.commits[1:])
    assert any("left out" in note for note in judged.night.notes)
    (problem,) = judged.problems
    assert problem.culprit is not None
    assert problem.culprit.commit == nights.commits[culprit]


def test_tips_are_booted_again_as_the_budget_allows(tmp_path: Path) -> None:
    nights = Nights(tmp_path, keys="tip_boots = 3\n", cells=CONTROL)
    nights.night()
    nights.commit()
    tip = nights.commits[nights.commit(Fault("no ideas left", 0, nodes=FOUR, spared=2))]
    judged = nights.night(budget=900.0).judged
    boots = Counter((each.slot.cell, each.commit) for each in judged.results
                    if each.purpose is Purpose.PLANNED and each.status.tells)  # fmt: skip
    assert set(boots.values()) == {1, 3}
    assert all(count == (3 if commit == tip else 1) for (_, commit), count in boots.items())
    (problem,) = judged.problems
    assert problem.culprit is not None
    assert problem.culprit.commit == tip
    tip = nights.commits[nights.commit()]
    judged = nights.night(budget=1.0).judged
    assert [each.status.tells for each in judged.results if each.commit == tip] == [True] * 4


def test_a_control_that_does_not_fail_as_stated_is_the_loudest_and_nothing_else_is_claimed(
    tmp_path: Path,
    history: HistoryLocation,
) -> None:
    nights = Nights(tmp_path, history=history, cells=CONTROL)
    nights.control = "control lost"
    first = nights.night()
    assert (first.exit_code, kinds(first.judged)) == (0, [])
    nights.commit(Fault("no ideas left", 0, nodes=FOUR))
    nights.control = ""
    second = nights.night()
    assert second.exit_code == 3
    assert kinds(second.judged) == [NewsKind.CONTROL]
    assert "in any of 6 attempts: booted" in second.judged.news[0].text
    assert second.judged.problems == ()
    assert second.judged.night.state is NightState.UNJUDGED
    nights.control = "control lost"
    third = nights.night()
    assert NewsKind.REGRESSION in kinds(third.judged)
    assert third.judged.night.compared_with == 1


@pytest.mark.parametrize("builds", [True, False])
def test_a_control_is_not_broken_if_its_revision_fails_so_without_the_mutant(
    tmp_path: Path, history: HistoryLocation, builds: bool
) -> None:
    nights = Nights(tmp_path, history=history, cells=CONTROL)
    nights.night()
    nights.commit(Fault("no ideas left", 0, builds=builds))
    second = nights.night()
    opened = NewsKind.REGRESSION if builds else NewsKind.BUILD
    assert second.exit_code == (1 if builds else 4)
    assert opened in kinds(second.judged)
    assert any("says nothing" in note for note in second.judged.night.notes)


def test_a_control_that_a_flake_hit_is_repeated_and_the_night_is_judged(
    tmp_path: Path, history: HistoryLocation
) -> None:
    nights = Nights(tmp_path, history=history, cells=CONTROL)
    nights.night()
    nights.commit(Fault("no ideas left", 0, nodes=FOUR))
    nights.spoilt = ["a flake", "", "a flake"]
    second = nights.night()
    assert (second.exit_code, second.judged.night.state) == (1, NightState.ENDED)
    assert kinds(second.judged) == [NewsKind.REGRESSION, NewsKind.CULPRIT]
    controls = [each for each in second.judged.results if each.purpose is Purpose.CONTROL]
    assert [each.status for each in controls] == [Status.FAILED] * 3 + [Status.PASSED]
    assert not any("control" in note for note in second.judged.night.notes)


def test_a_control_that_a_flake_of_before_always_hits_says_nothing(
    tmp_path: Path, history: HistoryLocation
) -> None:
    nights = Nights(tmp_path, history=history, cells=CONTROL)
    nights.night()
    nights.commit(Fault("no ideas left", 0))
    nights.night()
    nights.faults = []
    nights.spoilt = ["no ideas left"] * 20
    third = nights.night()
    assert third.judged.night.state is NightState.ENDED
    assert NewsKind.CONTROL not in kinds(third.judged)
    assert any("says nothing" in note for note in third.judged.night.notes)
    assert len(nights.spoilt) == 20 - 6


def test_a_host_failure_that_a_retry_mends_is_no_news(
    tmp_path: Path, history: HistoryLocation
) -> None:
    nights = Nights(tmp_path, history=history)
    nights.fail_first = 2
    result = nights.night()
    assert (result.exit_code, kinds(result.judged)) == (0, [])
    assert sum(each.status is Status.HOST_FAILED for each in result.judged.results) == 2


def test_host_trouble_is_told_in_its_first_night(tmp_path: Path, history: HistoryLocation) -> None:
    nights = Nights(tmp_path, history=history, host=1.0)
    first, second = nights.night(), nights.night()
    assert (first.exit_code, kinds(first.judged)) == (3, [NewsKind.HOST])
    assert (second.exit_code, kinds(second.judged)) == (3, [])


def test_a_known_issue_is_not_told_and_does_not_fail_the_night(
    tmp_path: Path, history: HistoryLocation
) -> None:
    nights = Nights(tmp_path, history=history)
    (tmp_path / "issues.toml").write_text(
        '[[issue]]\nname = "ideas"\ntitle = "no ideas left.*"\nowner = "me"\nreason = "known"\n'
        "added = 2026-01-01\nexpires = 2027-01-01\n"
    )
    nights.night()
    nights.commit(Fault("no ideas left", 0, nodes=FOUR))
    result = nights.night()
    (problem,) = result.judged.problems
    assert (result.exit_code, kinds(result.judged)) == (0, [])
    assert problem.known_issue == "ideas"
    assert not [each for each in result.judged.results if each.purpose is Purpose.REPEAT]


@ON_BOTH
def test_a_flake_is_told_with_its_rate_and_does_not_fail_the_night(
    tmp_path: Path, history: HistoryLocation
) -> None:
    nights = Nights(tmp_path, history=history, seed=3)
    for _ in range(3):
        nights.night()
    nights.commit(Fault("no ideas left", 0, rate=0.6, nodes=FOUR))
    found: list[NewsKind] = []
    for _ in range(4):
        found += kinds(nights.night().judged)
    opened = [kind for kind in found if kind in (NewsKind.FLAKY, NewsKind.REGRESSION)]
    assert len(opened) == 1


@ON_BOTH
def test_a_killed_night_goes_on_where_it_was(tmp_path: Path, history: HistoryLocation) -> None:
    nights = Nights(tmp_path, history=history)
    nights.night()
    nights.commit()
    nights.commit(Fault("no ideas left", 0, nodes=FOUR))
    nights.commit()
    before = nights.boots
    nights.kill_after = before + 7
    with pytest.raises(KeyboardInterrupt):
        nights.night()
    nights.kill_after = None
    reader = nights.reader
    unfinished = reader.last()
    assert unfinished is not None
    assert unfinished.state is NightState.RUNNING
    kept = reader.results(unfinished)
    assert kept
    result = nights.night()
    assert result.judged.night.number == unfinished.number
    assert all(each in result.judged.results for each in kept)
    assert kinds(result.judged) == [NewsKind.REGRESSION, NewsKind.CULPRIT]


def test_a_killed_night_whose_plan_changes_goes_on_with_the_new_cells(tmp_path: Path) -> None:
    nights = Nights(tmp_path, cells='[[boot]]\nname = "old"\nnuma = "1"\n')
    nights.night()
    nights.commit()
    nights.kill_after = nights.boots + 2
    with pytest.raises(KeyboardInterrupt):
        nights.night()
    nights.kill_after = None
    nights.cells = '[[boot]]\nname = "new"\nnuma = "2"\n'
    nights.write_plan()
    second = nights.night().judged
    assert [each for each in second.night.notes if "since it was killed" in each] == [
        "tree:main new-none-numa2 was added to the plan since it was killed",
        "tree:main old-none-numa1 was removed from the plan since it was killed",
    ]
    assert kinds(second) == [NewsKind.VANISHED]
    assert Slot("tree:main", "new-none-numa2") in nights.reader.cells(2)
    third = nights.night().judged
    assert (kinds(third), third.night.notes) == ([], ())


def test_two_nights_of_a_plan_exclude_each_other(tmp_path: Path, history: HistoryLocation) -> None:
    nights = Nights(tmp_path, history=history)
    refused: list[InfraError] = []
    reached = threading.Event()

    def second() -> None:
        if reached.is_set():
            return
        reached.set()
        with pytest.raises(InfraError) as error:
            nights.night()
        refused.append(error.value)

    nights.at_boot = second
    assert nights.night().exit_code == 0
    assert "is running" in refused[0].message
    assert refused[0].exit_code == 3


def test_a_force_pushed_branch_is_compared_with_what_is_left(
    tmp_path: Path, history: HistoryLocation
) -> None:
    nights = Nights(tmp_path, history=history)
    nights.commit()
    nights.night()
    nights.rewrite()
    judged = nights.night().judged
    assert any("was rewritten" in note for note in judged.night.notes)
    assert judged.night.branches[0].rewritten


def test_a_cell_that_the_plan_loses_is_told_once(tmp_path: Path, history: HistoryLocation) -> None:
    nights = Nights(tmp_path, history=history)
    nights.night()
    text = (tmp_path / "nightly.toml").read_text()
    (tmp_path / "nightly.toml").write_text(text.replace('"1,2,4"', '"1,2"'))
    assert kinds(nights.night().judged) == [NewsKind.VANISHED]
    assert kinds(nights.night().judged) == []


def test_a_branch_that_does_not_exist_is_refused_before_anything_runs(
    tmp_path: Path, history: HistoryLocation
) -> None:
    nights = Nights(tmp_path, history=history)
    text = (tmp_path / "nightly.toml").read_text()
    (tmp_path / "nightly.toml").write_text(text.replace('["main"]', '["mian"]'))
    with pytest.raises(UsageError, match="branch tree:mian"):
        nights.night()
    assert nights.boots == 0


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        ('[[control]]\nmutant = "drop-comit"\nnuma = "2"', "no mutant drop-comit"),
        ('[[check]]\nsubsystem = "umma"\nnuma = "2"', "no subsystem 'umma'"),
        ('[[boot]]\nname = "vm"\nvms = ["nope"]', "no guest named 'nope'"),
        ('[[boot]]\nname = "x"\nboot = "loader"\nnuma = "1"', "cannot start a made kernel"),
    ],
)
def test_what_no_night_can_run_is_refused_before_the_night_begins(
    tmp_path: Path, history: HistoryLocation, cells: str, named: str
) -> None:
    nights = Nights(tmp_path, history=history, cells=cells)
    with pytest.raises(UsageError, match=named):
        nights.night()
    assert nights.boots == 0
    assert nights.reader.last() is None
    with nights.environment() as env, pytest.raises(UsageError, match=named):
        preview(NightRequest(tmp_path / "nightly.toml"), env)


def test_a_revision_that_cannot_have_a_kernel_of_the_plan_does_not_end_the_night(
    tmp_path: Path,
    history: HistoryLocation,
) -> None:
    nights = Nights(tmp_path, history=history)
    nights.night()
    nights.refused = {nights.commit()}
    nights.commit()
    judged = nights.night()
    assert (judged.exit_code, judged.judged.night.state) == (3, NightState.ENDED)
    assert kinds(judged.judged) == [NewsKind.HOST]
    assert "there is no option SMALL" in judged.judged.news[0].text


@ON_BOTH
def test_a_tree_that_goes_away_ends_no_night_and_the_next_one_finds_the_commit(
    tmp_path: Path,
    history: HistoryLocation,
) -> None:
    nights = Nights(tmp_path, history=history)
    nights.night()
    nights.commit(Fault("no ideas left", 0, nodes=FOUR))
    away = tmp_path / "away"

    def remove() -> None:
        if nights.tree.exists():
            nights.tree.rename(away)

    nights.at_boot = remove
    second = nights.night()
    assert (second.exit_code, kinds(second.judged)) == (1, [NewsKind.REGRESSION])
    assert "bisection ended" in second.judged.problems[0].why_unknown
    nights.at_boot = lambda: None
    away.rename(nights.tree)
    assert kinds(nights.night().judged) == [NewsKind.CULPRIT]


def test_what_cannot_go_on_is_the_hosts_failure_and_the_night_goes_on_later(
    tmp_path: Path,
    history: HistoryLocation,
) -> None:
    nights = Nights(tmp_path, history=history)
    nights.night()
    nights.commit()

    def refuse() -> None:
        raise UsageError("the tree is gone", remedy="bring it back")

    nights.at_boot = refuse
    with pytest.raises(InfraError, match="night 2 cannot go on: the tree is gone"):
        nights.night()
    nights.at_boot = lambda: None
    assert nights.night().judged.night.number == 2


def test_a_preview_runs_nothing_and_says_why(tmp_path: Path, history: HistoryLocation) -> None:
    nights = Nights(tmp_path, history=history)
    nights.night()
    nights.commit()
    nights.commit()
    boots = nights.boots
    with nights.environment() as env:
        found = preview(NightRequest(tmp_path / "nightly.toml"), env)
    assert nights.boots == boots
    assert [each.cells for each in found.revisions] == [3, 3]
    assert found.revisions[0].why == "the tip is tested every night"
    assert found.revisions[0].seconds > 0


def test_a_command_runs_at_the_tip_alone(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.night()
    nights.cells = '[[command]]\nnuma = "2"\ncommand = "true"\n'
    nights.write_plan()
    nights.commit()
    nights.commit()
    with nights.environment() as env:
        found = preview(NightRequest(tmp_path / "nightly.toml"), env)
    assert [each.cells for each in found.revisions] == [4, 3]


def test_a_night_that_did_not_run_is_late(tmp_path: Path, history: HistoryLocation) -> None:
    nights = Nights(tmp_path, history=history)
    request = NightRequest(tmp_path / "nightly.toml")
    with nights.environment() as env:
        assert night_status(open_plan(request, env), env).late
    nights.night()
    with nights.environment() as env:
        assert not night_status(open_plan(request, env), env).late
        env.clock.sleep(37 * 3600)
        assert night_status(open_plan(request, env), env).late


@ON_BOTH
def test_a_known_issue_that_was_split_off_is_judged_and_told_as_new(
    tmp_path: Path, history: HistoryLocation
) -> None:
    nights = Nights(tmp_path, history=history)
    issues = tmp_path / "issues.toml"
    issues.write_text(
        '[[issue]]\nname = "ideas"\ntitle = "no .* left.*"\nowner = "me"\nreason = "known"\n'
        "added = 2026-01-01\nexpires = 2027-01-01\n"
    )
    nights.night()
    nights.commit(Fault("no ideas left", 0, nodes=FOUR))
    assert kinds(nights.night().judged) == []
    issues.write_text(issues.read_text() + "except_titles = ['no ideas left.*']\n")
    nights.commit()
    told = nights.night()
    assert told.exit_code == 1
    assert NewsKind.REGRESSION in kinds(told.judged)
    assert "no longer the known issue ideas" in told.judged.news[0].text
    assert kinds(nights.night().judged) == []


def test_an_old_known_issue_that_was_seen_yesterday_is_not_unseen(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    (tmp_path / "issues.toml").write_text(
        '[[issue]]\nname = "ideas"\ntitle = "no ideas left.*"\nowner = "me"\nreason = "known"\n'
        "added = 2025-01-01\nexpires = 2030-01-01\n"
    )
    assert kinds(nights.night().judged) == [NewsKind.ISSUE_UNSEEN]
    nights = Nights(tmp_path / "seen")
    (tmp_path / "seen" / "issues.toml").write_text((tmp_path / "issues.toml").read_text())
    nights.commit(Fault("no ideas left", 0))
    assert kinds(nights.night().judged) == []
    nights.mend("no ideas left")
    assert NewsKind.ISSUE_UNSEEN not in kinds(nights.night().judged)
