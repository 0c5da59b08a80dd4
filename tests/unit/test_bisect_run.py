"""Whole bisections with a scripted guest: killed at any moment, with a host that fails."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from bisections import TITLE, FakeTester, Killed, Silent, history_of
from histories import Guest, line

from harness.bisect.evidence import Kind, Mark, RevisionTest, Tally, Target, target_of
from harness.bisect.findings import Findings, findings_of
from harness.bisect.graph import Commit
from harness.bisect.history import Changed, Relevance, Revision
from harness.bisect.knowledge import Asked, knowledge
from harness.bisect.proof import ProofStep, passes_needed, prove
from harness.bisect.run import Bisection
from harness.bisect.search import (
    REPRODUCED,
    Culprit,
    Decision,
    Question,
    Several,
    Stuck,
)
from harness.bisect.state import State, StateFile
from harness.bisect.tester import Trial
from harness.errors import BuildError, HarnessError, InfraError, UnobservableError
from harness.host.progress import Progress
from harness.host.workspace import Workspace
from harness.source.treeparts import Part

Bisect = Callable[..., Bisection]


@pytest.fixture
def bisect(tmp_path: Path) -> Bisect:
    workspace = Workspace(tmp_path / "cache", tmp_path / "state", tmp_path / "run")

    def make(commits: Sequence[Commit], tester: FakeTester, *, ahead: int = 1, guests: int = 1,
             question: Question | None = None, any_failure: bool = False) -> Bisection:  # fmt: skip
        question = question or Question(commits[-1].name, (commits[0].name,))
        file = StateFile(workspace, {"new": question.new, "fixed": question.fixed})
        asked = Asked(question, any_failure=any_failure)
        return Bisection(
            asked, history_of(commits), Relevance(), tester, file, file.load(), Silent(), ahead,
            guests,
        )  # fmt: skip

    return make


def answer(bisection: Bisection) -> Decision:
    found = bisection.run()
    bisection.close()
    return found


LINE = line(20)


def test_the_culprit_is_found_and_proven(bisect: Bisect) -> None:
    tester = FakeTester(Guest(LINE, "c13", broken={"c11"}, strange={"c15"}))
    bisection = bisect(LINE, tester)
    found = bisection.run()
    assert isinstance(found, Culprit)
    assert found.commit == "c13"
    proof = prove(bisection, found, None, "it conflicts")
    bisection.close()
    assert [(step.what, step.holds) for step in proof.steps] == [
        ("its parent", True), ("the culprit", True), ("the newest end without it", False),
    ]  # fmt: skip
    assert proof.stands
    findings = findings_of(bisection, found, (), proof)
    assert findings.exit_code == 0
    assert findings.target.title == TITLE
    places = [one.place for one in findings.line]
    assert places == sorted(places)


def test_a_proof_that_does_not_hold_makes_it_inconclusive(bisect: Bisect) -> None:
    bisection = bisect(LINE, FakeTester(Guest(LINE, "c13")))
    found = bisection.run()
    proof = prove(bisection, found, None, "it conflicts")  # type: ignore[arg-type]
    bisection.close()
    parent = replace(proof.steps[0], tally=Tally(good=3, bad=1))
    contrary = replace(proof, steps=(parent, *proof.steps[1:]))
    findings: Findings = findings_of(bisection, found, (), contrary)
    assert findings.exit_code == 1


@pytest.mark.parametrize("rate", [1.0, 0.5])
@pytest.mark.parametrize("fixed", [False, True])
def test_killed_at_any_test_it_comes_to_the_same_answer_by_the_same_tests(
    bisect: Bisect, tmp_path: Path, rate: float, fixed: bool
) -> None:
    question = Question("c20", ("c0",), fixed=fixed)
    whole = FakeTester(Guest(LINE, "c13", rate, fixed, broken={"c11"}))
    bisection = bisect(LINE, whole, question=question)
    expected = answer(bisection)
    bisection.file.forget()
    number = 0
    tested: list[str] = []
    guest = Guest(LINE, "c13", rate, fixed, broken={"c11"})  # its chances go on
    while True:
        tester = FakeTester(guest, killed_after=number % 3)
        number += 1
        bisection = bisect(LINE, tester, question=question)
        try:
            found = answer(bisection)
        except Killed:
            assert tester.closed
            tested += tester.tested
            continue
        tested += tester.tested
        break
    assert found == expected
    assert tested == whole.tested


def test_equal_kernels_share_their_verdict_without_a_boot(bisect: Bisect) -> None:
    """All of c5 to c12 make the same kernel."""
    same = {f"c{number}": "same" for number in range(5, 13)}
    tester = FakeTester(Guest(LINE, "c13"), kernels=same)
    found = answer(bisect(LINE, tester, ahead=0))
    assert isinstance(found, Culprit)
    assert found.commit == "c13"
    assert len({name for name in tester.tested if name in same}) == 1
    # What makes the same kernel as its parent is no candidate any more.
    assert len(tester.built) <= 9


def test_revisions_that_make_the_kernel_of_their_parent_are_no_change(bisect: Bisect) -> None:
    commits = line(1)
    tester = FakeTester(Guest(commits, "c1"), kernels={"c0": "same", "c1": "same"})
    found = answer(bisect(commits, tester))
    assert isinstance(found, Stuck)
    assert "changes the kernel" in found.reason


def test_the_next_kernel_is_built_while_a_guest_boots(bisect: Bisect) -> None:
    ahead = FakeTester(Guest(LINE, "c13"))
    answer(bisect(LINE, ahead, ahead=2))
    assert set(ahead.tested) < set(ahead.built)
    assert len(ahead.built) == len(set(ahead.built))


@dataclass(slots=True)
class Meeting(FakeTester):
    """Each test of the failing end waits until another one runs."""

    meets: threading.Barrier = field(default_factory=lambda: threading.Barrier(2, timeout=60))

    def test(self, commit: str, cell: str, progress: Progress) -> Trial:
        if commit == "c20" and len(self.tested) < 3:
            self.meets.wait()
        return FakeTester.test(self, commit, cell, progress)


def test_tests_of_one_kernel_that_are_wanted_in_a_row_run_at_once(bisect: Bisect) -> None:
    tester = Meeting(Guest(LINE, "c13"))
    bisection = bisect(LINE, tester, ahead=0, guests=2)
    found = answer(bisection)
    assert isinstance(found, Culprit)
    assert found.commit == "c13"
    assert tester.tested.count("c20") == REPRODUCED


@pytest.mark.parametrize("guests", [2, 3])
def test_killed_while_several_tests_run_none_is_counted_twice_or_written_over(
    bisect: Bisect, guests: int
) -> None:
    guest = Guest(LINE, "c13", 0.5)
    for number in itertools.count():
        tester = FakeTester(guest, killed_after=number % 4)
        bisection = bisect(LINE, tester, guests=guests)
        before = len(bisection.state.observations)
        try:
            found = answer(bisection)
        except Killed:
            assert tester.closed
            seen = len(bisection.file.load().observations) - before
            assert seen <= len(tester.tested)
            continue
        break
    assert isinstance(found, Culprit)
    assert found.commit == "c13"
    cells = [one.cell for one in bisection.state.observations]
    assert len(cells) == len(set(cells))


def test_an_end_that_does_not_build_ends_it(bisect: Bisect) -> None:
    with pytest.raises(BuildError):
        answer(bisect(LINE, FakeTester(Guest(LINE, "c13", broken={"c20"}))))


@pytest.mark.parametrize("fails", [BuildError, UnobservableError])
def test_a_revision_that_cannot_be_built_or_observed_is_skipped(
    bisect: Bisect, fails: type[HarnessError]
) -> None:
    broken = {"c5", "c8", "c10", "c14"}
    found = answer(bisect(LINE, FakeTester(Guest(LINE, "c12", broken=broken), fails=fails)))
    assert isinstance(found, Culprit)
    assert found.commit == "c12"


def test_the_hosts_failures_are_tried_again_and_then_end_it(bisect: Bisect) -> None:
    found = answer(bisect(LINE, FakeTester(Guest(LINE, "c13"), host_fails=2)))
    assert isinstance(found, Culprit)
    other = line(9)
    with pytest.raises(InfraError, match="3 times in a row"):
        answer(bisect(other, FakeTester(Guest(other, "c4"), host_fails=3)))
    again = FakeTester(Guest(other, "c4"))
    assert isinstance(answer(bisect(other, again)), Culprit)


def test_reports_that_the_good_end_shows_as_well_are_the_trees_own(bisect: Bisect) -> None:
    own = {commit.name: ("MSan: the tree's own",) for commit in LINE}
    found = answer(bisect(LINE, FakeTester(Guest(LINE, "c13"), titles=own)))
    assert isinstance(found, Culprit)
    assert found.commit == "c13"


def test_what_dies_of_something_else_proves_nothing_unless_any_failure_counts(
    bisect: Bisect,
) -> None:
    strange = {f"c{number}" for number in range(8, 13)}
    title = answer(bisect(LINE, FakeTester(Guest(LINE, "c13", strange=strange))))
    assert isinstance(title, Several)
    assert title.commits == ("c8", "c9", "c10", "c11", "c12", "c13")
    other = line(21)
    any_ = answer(bisect(other, FakeTester(Guest(other, "c13", strange=strange)), any_failure=True))
    assert isinstance(any_, Culprit)
    assert any_.commit == "c8"


def test_what_a_build_read_narrows_the_candidates(bisect: Bisect) -> None:
    commits = line(3)
    history = history_of(commits)
    extra = Revision("idle", ("c3",), "idle", "c3", (Changed("sys/dev/x.c", "a", "b"),))
    history = replace(history, revisions=(*history.revisions, extra))
    asked = Asked(Question("idle", ("c0",)))
    relevance = Relevance(told=Part(frozenset({"sys"}), frozenset({""})))
    wide = knowledge(asked, history, relevance, State({}))
    narrow = knowledge(asked, history, relevance, State({}, reads=frozenset({"f"})))
    assert len(wide.graph.nodes) == 4
    assert len(narrow.graph.nodes) == 3


def test_what_counts_is_what_most_tests_of_the_bad_end_show() -> None:
    def test(commit: str, *titles: str) -> RevisionTest:
        return RevisionTest(commit, Kind.FAILED, titles)

    seen = [test("bad", "now and then"), test("bad", "own", "the bug"), test("bad", "the bug"),
            test("good", "own"), test("middle", "else", "now and then")]  # fmt: skip
    target = target_of(seen, ["good"], ["bad"], title=None, any_failure=False)
    assert target == Target("the bug", frozenset({"own"}))
    assert target_of([], ["good"], ["bad"], title=None, any_failure=False) == Target()
    assert target_of(seen, ["good"], ["bad"], title="else", any_failure=False) == Target("else")
    both = Target("the bug", frozenset({"own"}), frozenset({"else", "own"}))
    assert both.mark(test("c", "else")) is Mark.BAD
    assert both.mark(test("c", "own")) is Mark.SKIP
    any_ = target_of(seen, ["good"], ["bad"], title=None, any_failure=True)
    assert any_ == Target(None, frozenset({"own"}))


@pytest.mark.parametrize(
    ("rate", "expected"), [(1.0, 1), (0.95, 1), (0.9, 2), (1 / 3, 8), (0.01, 40), (0.0, 40)]
)
def test_how_often_a_kernel_must_pass(rate: float, expected: int) -> None:
    assert passes_needed(rate, 0.95, 40) == expected


@pytest.mark.parametrize(
    ("observation", "expected"),
    [
        (RevisionTest("c", Kind.PASSED), Mark.GOOD),
        (RevisionTest("c", Kind.PASSED, ("own",)), Mark.GOOD),
        (RevisionTest("c", Kind.PASSED, ("own", "the bug, here")), Mark.BAD),
        (RevisionTest("c", Kind.FAILED, ("own",)), Mark.SKIP),
        (RevisionTest("c", Kind.FAILED, ("the bug",)), Mark.BAD),
        (RevisionTest("c", Kind.FAILED), Mark.BAD),
        (RevisionTest("c", Kind.SKIPPED), Mark.SKIP),
        (RevisionTest("c", Kind.INFRA, error="no memory"), Mark.INFRA),
    ],
)
def test_what_a_test_says_by_the_title_that_counts(
    observation: RevisionTest, expected: Mark
) -> None:
    assert Target("the bug", frozenset({"own"})).mark(observation) is expected


def test_a_step_of_a_proof_holds_only_if_nothing_speaks_against_it() -> None:
    assert ProofStep("", "c", Mark.GOOD, Tally(good=2)).holds
    assert not ProofStep("", "c", Mark.GOOD, Tally(good=2, bad=1)).holds
    assert ProofStep("", "c", Mark.BAD, Tally(good=2, bad=1)).holds
    assert not ProofStep("", "c", Mark.BAD, Tally(good=2)).holds
    assert not ProofStep("", "c", Mark.GOOD, Tally(good=2), "it conflicts").holds
