"""Bisections of a compilation, ends on two branches, and revisions to skip."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from bisections import Silent, history_of
from histories import ancestors, graph_of, line, random_history
from hypothesis import given
from hypothesis import strategies as st

from harness.bisect.evidence import Kind, Tally
from harness.bisect.findings import findings_of
from harness.bisect.graph import Commit, reduced
from harness.bisect.history import Relevance
from harness.bisect.knowledge import Asked
from harness.bisect.monotone import Reversal, consistent
from harness.bisect.proof import prove
from harness.bisect.run import Bisection
from harness.bisect.search import Culprit, Examine, Question, Stuck, decide
from harness.bisect.skips import read_skips
from harness.bisect.state import StateFile
from harness.bisect.tester import Built, Trial
from harness.check.subject import Specification
from harness.errors import BuildError, InfraError, UsageError
from harness.host.clock import HostClock
from harness.host.progress import Progress, Recorded
from harness.host.workspace import Workspace
from harness.kernel.artifact import KernelArtifact
from harness.results.bisect import bisect_lines, to_bisect_document
from harness.runs.buildtester import ERRORS, BuildTester, error_lines, error_title
from harness.subsystems.subsystem import Subsystem

ERROR = "sys/vm/a.c: error: one"
OTHER = "sys/vm/b.c: error: another"


@dataclass(slots=True)
class Compiler:
    """Compiles revisions; see ``harness.bisect.tester.Tester``.

    Args:
        errors: the titles of each revision that does not compile.
        unusable: revisions that cannot be configured as it was asked for.
    """

    errors: Mapping[str, tuple[str, ...]]
    unusable: Collection[str] = ()
    built: list[str] = field(default_factory=list)

    def build(self, commit: str, progress: Progress) -> Built:
        self.built.append(commit)
        if commit in self.unusable:
            raise UsageError("an option that it does not know")
        return Built("" if commit in self.errors else commit, 20.0)

    def test(self, commit: str, cell: str, progress: Progress) -> Trial:
        titles = self.errors.get(commit)
        if titles is None:
            return Trial(Kind.PASSED, outcome="builds")
        return Trial(Kind.FAILED, titles, "does not build", error=titles[0])

    def close(self) -> None:
        pass


Bisect = Callable[..., Bisection]


@pytest.fixture
def bisect(tmp_path: Path) -> Bisect:
    workspace = Workspace(tmp_path / "cache", tmp_path / "state", tmp_path / "run")
    return maker(workspace)


def maker(workspace: Workspace) -> Bisect:
    def make(commits: Sequence[Commit], compiler: Compiler, *, fixed: bool = False,
             any_failure: bool = False, skipped: Collection[str] = ()) -> Bisection:  # fmt: skip
        question = Question.of_builds(commits[-1].name, (commits[0].name,), fixed=fixed)
        asked = Asked(question, None, any_failure, skipped=frozenset(skipped), how="build")
        file = StateFile(workspace, {"new": question.new})
        file.forget()
        return Bisection(
            asked, history_of(commits), Relevance(), compiler, file, file.load(), Silent(), 0
        )

    return make


def failing(numbers: range, *titles: str) -> dict[str, tuple[str, ...]]:
    return {f"c{number}": titles for number in numbers}


def named(bisection: Bisection) -> str:
    found = bisection.run()
    bisection.close()
    assert isinstance(found, Culprit), found
    return found.commit


def test_each_revision_is_compiled_once_and_seven_times_are_enough_for_a_hundred(
    bisect: Bisect,
) -> None:
    for culprit in (1, 2, 50, 63, 99, 100):
        compiler = Compiler(failing(range(culprit, 101), ERROR))
        assert named(bisect(line(100), compiler)) == f"c{culprit}"
        assert len(compiler.built) == len(set(compiler.built)) <= 9


def test_what_mended_the_compilation_is_found_as_well(bisect: Bisect) -> None:
    compiler = Compiler(failing(range(17), ERROR))
    bisection = bisect(line(40), compiler, fixed=True)
    assert named(bisection) == "c17"
    found = findings_of(bisection, Culprit("c17", 1.0), (), None)
    assert found.error == ERROR


def test_a_revision_that_fails_with_another_error_says_nothing_of_the_ends(bisect: Bisect) -> None:
    compiler = Compiler({**failing(range(10, 30), OTHER), **failing(range(35, 41), ERROR)})
    assert named(bisect(line(40), compiler)) == "c35"


def test_one_of_several_errors_is_enough_to_be_the_ends(bisect: Bisect) -> None:
    """Of several compilers that run at once, another may fail first each time."""
    compiler = Compiler({**failing(range(12, 40), OTHER, ERROR), "c40": (ERROR, OTHER)})
    assert named(bisect(line(40), compiler)) == "c12"


def test_a_revision_that_cannot_be_configured_so_is_walked_around(bisect: Bisect) -> None:
    compiler = Compiler(failing(range(25, 41), ERROR), unusable={"c20", "c30"})
    assert named(bisect(line(40), compiler)) == "c25"


def test_skipped_revisions_are_never_compiled_and_what_they_hide_is_named(bisect: Bisect) -> None:
    compiler = Compiler(failing(range(25, 41), ERROR))
    skipped = {"c20", "c30", "c10"}
    assert named(bisect(line(40), compiler, skipped=skipped)) == "c25"
    assert not skipped & set(compiler.built)
    hidden = bisect(line(40), Compiler(failing(range(25, 41), ERROR)), skipped={"c24"})
    answer = hidden.run()
    assert getattr(answer, "commits", ()) == ("c24", "c25")


def test_the_proof_is_parent_and_culprit_and_tells_if_another_revision_broke_it_too(
    bisect: Bisect,
) -> None:
    bisection = bisect(line(20), Compiler(failing(range(7, 21), ERROR)))
    answer = bisection.run()
    assert isinstance(answer, Culprit)
    proof = prove(bisection, answer, "c20", "")  # as if taking it back changed nothing
    assert [step.holds for step in proof.steps] == [True, True, False]
    assert proof.steps[-1].problem == "another revision broke it as well"
    assert proof.stands
    assert findings_of(bisection, answer, (), proof).exit_code == 0


def test_a_good_end_that_does_not_compile_ends_it_whatever_the_error(bisect: Bisect) -> None:
    for title in (ERROR, OTHER):
        compiler = Compiler({"c0": (title,), "c9": (ERROR,)})
        answer = bisect(line(9), compiler).run()
        assert answer == Stuck("c0, which should pass, fails as well")


def test_a_bad_end_that_compiles_ends_it(bisect: Bisect) -> None:
    answer = bisect(line(9), Compiler({})).run()
    assert isinstance(answer, Stuck)
    assert "could not reproduce the failure: c9 did not fail in 1 test" in answer.reason


@given(st.integers(0, 2**32), st.integers(2, 40), st.booleans())
def test_on_any_history_one_build_each_finds_the_culprit(seed: int, size: int, fixed: bool) -> None:
    chances = random.Random(seed)
    commits = random_history(chances, size)
    graph = graph_of(commits)
    if not graph.nodes:
        return
    culprit = chances.choice(graph.nodes).commit
    question = Question.of_builds(commits[-1].name, (commits[0].name,), fixed=fixed)
    evidence: dict[str, Tally] = {}
    while isinstance(step := decide(question, graph, evidence), Examine):
        content = graph.contents[step.commit]
        assert content not in evidence
        has_it = culprit.name in ancestors(commits, step.commit)
        evidence[content] = Tally(bad=1) if has_it is not fixed else Tally(good=1)
        if has_it and graph.masks[step.commit] == 0:
            return  # the old end itself has it: the histories' contents came back
    assert isinstance(step, Culprit), step
    assert step.commit == culprit.name
    assert step.confidence > 0.99


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.booleans())
def test_a_compilation_that_breaks_and_is_mended_again_and_again_has_a_transition_found(
    tmp_path_factory: pytest.TempPathFactory, middle: list[bool], fixed: bool
) -> None:
    """The one that is named is a true one: the culprit is like the new end, its parent is not."""
    directory = tmp_path_factory.mktemp("state")
    make = maker(Workspace(directory / "cache", directory / "state", directory / "run"))
    broken = [fixed, *middle, not fixed]
    commits = line(len(broken) - 1)
    errors = {f"c{number}": (ERROR,) for number, breaks in enumerate(broken) if breaks}
    compiler = Compiler(errors)
    bisection = make(commits, compiler, fixed=fixed)
    number = int(named(bisection)[1:])
    assert broken[number] is not fixed
    assert broken[number - 1] is fixed
    assert len(compiler.built) == len(set(compiler.built))
    seen = {int(one.commit[1:]): one.kind is Kind.FAILED for one in bisection.state.observations}
    old_like = [n for n, fails in seen.items() if fails is fixed]
    contradicted = {n for n, fails in seen.items() if fails is not fixed and n < max(old_like)}
    told = {each.earlier for each in bisection.known().reversals}
    assert told == {f"c{each}" for each in contradicted}
    assert all(number > int(each.later[1:]) for each in bisection.known().reversals)


def test_where_the_failure_came_and_went_the_report_says_so() -> None:
    graph = graph_of(line(9))
    seen = {"k3": Tally(bad=1), "k5": Tally(good=1), "k7": Tally(good=1), "k9": Tally(bad=1)}
    found = consistent(graph, seen, fixed=False)
    assert found.reversals == (Reversal("c3", "c5"),)
    assert found.evidence == {name: tally for name, tally in seen.items() if name != "k3"}
    assert consistent(graph, seen, fixed=True).reversals == (
        Reversal("c5", "c9"), Reversal("c7", "c9"),
    )  # fmt: skip
    document = {
        "fixed": False, "how": "build", "answer": {"kind": "none", "commits": [],
        "confidence": 0.0, "reason": "x"}, "failure": {"title": None, "own": [], "rate": 1.0},
        "culprits": [], "proof": [], "line": [], "tests": [], "revisions": 9, "candidates": 9,
        "steps": 3, "reversals": [{"earlier": "c3", "later": "c5"}], "end_error": OTHER,
    }  # fmt: skip
    text = "\n".join(bisect_lines({"bisect": document, "cells": []}))
    assert "not monotone: c3 does not build, its descendant c5 builds" in text
    assert f"the bad end has another first error: {OTHER}" in text


def test_if_the_ends_error_is_another_one_the_findings_have_both(bisect: Bisect) -> None:
    compiler = Compiler({**failing(range(5, 9), OTHER), "c9": (ERROR,)})
    bisection = bisect(line(9), compiler, any_failure=True)
    answer = bisection.run()
    assert isinstance(answer, Culprit)
    found = findings_of(bisection, answer, (), None)
    assert (answer.commit, found.error, found.end_error) == ("c5", OTHER, ERROR)
    assert to_bisect_document(found)["end_error"] == ERROR


# Ends on two branches

TWO_BRANCHES = Question("bad", ("good", "base"))
BRANCHES = [
    Commit("base", (), "kbase"),
    Commit("good", ("base",), "kgood"),
    Commit("c1", ("base",), "k1"),
    Commit("bad", ("c1",), "kbad"),
]


def branches_decide(evidence: dict[str, Tally], *, fixed: bool = False) -> object:
    graph = reduced(BRANCHES, "bad", {"base", "good"})
    return decide(Question("bad", ("good", "base"), fixed, repeat=3), graph, evidence)


def test_of_two_branches_the_merge_base_is_tested_first() -> None:
    assert TWO_BRANCHES.merge_bases == ("base",)
    assert branches_decide({}) == Examine("base", end=True)
    assert branches_decide({"kbase": Tally(good=1)}) == Examine("good", end=True)
    assert branches_decide({}, fixed=True) == Examine("base", end=True)


@pytest.mark.parametrize(
    ("fixed", "tally", "expected"),
    [
        (False, Tally(bad=3), "--fixed --bad base --good good finds by what"),
        (True, Tally(good=3), "--good base --bad good finds by what"),
    ],
)
def test_a_merge_base_that_is_not_as_the_old_end_says_what_to_ask_instead(
    fixed: bool, tally: Tally, expected: str
) -> None:
    evidence = {"kbase": tally, "kbad": Tally(good=1) if fixed else Tally(bad=3)}
    answer = branches_decide(evidence, fixed=fixed)
    assert isinstance(answer, Stuck)
    assert "the merge base base" in answer.reason
    assert expected in answer.reason


# Errors of compilers

TREE = "/home/me/src/.cache/harness/trees/0123456789ab/src"


@pytest.mark.parametrize(
    ("detail", "lines"),
    [
        (f"{TREE}/sys/vm/a.c:3:14: error: one\n*** Error code 1\n",
         ["sys/vm/a.c:3:14: error: one"]),
        ("../src/embedded/a.c:1:1: error: one\n../src/embedded/b.c:2:2: fatal error: two",
         ["embedded/a.c:1:1: error: one", "embedded/b.c:2:2: fatal error: two"]),
        ("a warning\nld: error: undefined symbol: foo\n", ["ld: error: undefined symbol: foo"]),
        ("make: don't know how to make x. Stop\n", ["make: don't know how to make x. Stop"]),
        ("", ["it does not build"]),
    ],
)  # fmt: skip
def test_the_lines_of_a_compilers_errors(detail: str, lines: list[str]) -> None:
    assert error_lines(BuildError("it does not build", detail=detail)) == lines


def test_errors_are_compared_without_lines_and_columns() -> None:
    assert error_title("sys/vm/a.c:3:14: error: expected 3, have 2: no") == (
        "sys/vm/a.c: error: expected 3, have 2: no"
    )


@given(st.text())
def test_whatever_a_build_prints_has_a_line_and_a_title(detail: str) -> None:
    lines = error_lines(BuildError("it does not build", detail=detail))
    assert lines
    for each in lines:
        error_title(each)


@dataclass(frozen=True, slots=True)
class Unbuildable:
    """See ``harness.provide.revisions.Revisions``: no kernel builds."""

    error: Exception
    title: str = "a made kernel"
    relevance: Relevance = field(default_factory=Relevance)
    subsystems: tuple[Subsystem, ...] = ()

    def kernel(self, commit: str, progress: Progress) -> KernelArtifact:
        raise self.error

    def specification(self, subsystem: Subsystem, commit: str) -> Specification:
        raise NotImplementedError


def test_a_revision_that_does_not_compile_fails_and_leaves_the_compilers_words(
    tmp_path: Path,
) -> None:
    error = BuildError("it does not build", detail=f"{TREE}/sys/vm/a.c:3:14: error: one\n")
    tester = BuildTester(Unbuildable(error), tmp_path, HostClock(), lambda: None)
    assert tester.build("abc", Recorded()).digest == ""
    trial = tester.test("abc", "001-abc", Recorded())
    assert (trial.kind, trial.titles, trial.error) == (
        Kind.FAILED, (ERROR,), "sys/vm/a.c:3:14: error: one",
    )  # fmt: skip
    assert "error: one" in (tmp_path / "001-abc" / ERRORS).read_text()


@pytest.mark.parametrize("error", [InfraError("the disk is full"), UsageError("no such option")])
def test_what_is_not_the_revisions_fault_is_no_verdict_on_it(
    tmp_path: Path, error: Exception
) -> None:
    tester = BuildTester(Unbuildable(error), tmp_path, HostClock(), lambda: None)
    with pytest.raises(type(error)):
        tester.build("abc", Recorded())


# The file of revisions to skip


def test_a_file_of_revisions_has_one_a_line_and_comments() -> None:
    text = "# broken toolchain\nabc123\n\n  v1~2  # and this\r\nmain\n"
    assert read_skips(text) == [(2, "abc123"), (4, "v1~2"), (5, "main")]


@pytest.mark.parametrize(
    "line", ["a b", "a..b", "a...b", "^a", "-a", "--all", "a\x1b[2J", "x" * 2000, "a\x00b"]
)
def test_a_line_that_names_no_single_revision_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(UsageError, match="line 2 does not name one revision"):
        read_skips(f"good\n{line}\n")


@given(st.text())
def test_whatever_the_file_holds_it_is_read_or_refused(text: str) -> None:
    try:
        found = read_skips(text)
    except UsageError:
        return
    assert all(revision and not revision.startswith("-") for _, revision in found)
