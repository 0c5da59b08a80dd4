"""What a bisection does next, from what it knows."""

from __future__ import annotations

import math
import random

import pytest
from histories import (
    Guest,
    Search,
    ancestors,
    graph_of,
    line,
    question_of,
    random_history,
    relevant,
    search,
)
from hypothesis import given
from hypothesis import strategies as st

from harness.bisect.belief import believe
from harness.bisect.evidence import Tally
from harness.bisect.graph import Commit, Graph, reduced
from harness.bisect.search import (
    REPRODUCED,
    Costs,
    Culprit,
    Decision,
    Examine,
    Question,
    Several,
    Stuck,
    decide,
    outlook,
    times_in_a_row,
)

LINE = line(8)
GRAPH = graph_of(LINE)
QUESTION = question_of(LINE)
ENDS = {"k0": Tally(good=1), "k8": Tally(bad=REPRODUCED)}


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ({}, Examine("c0", end=True)),
        ({"k0": Tally(good=1)}, Examine("c8", end=True)),
        ({"k0": Tally(good=1), "k8": Tally(bad=REPRODUCED - 1)}, Examine("c8", end=True)),
        ({"k0": Tally(bad=1)}, Examine("c0", end=True)),
        ({"k0": Tally(other=1)}, Examine("c0", end=True)),
        (ENDS, Examine("c4")),
        ({**ENDS, "k4": Tally(bad=1)}, Examine("c2")),
        ({**ENDS, "k4": Tally(good=1)}, Examine("c6")),
        ({**ENDS, "k4": Tally(builds=False)}, Examine("c2")),
    ],
)  # fmt: skip
def test_both_ends_first_and_then_the_middle(
    evidence: dict[str, Tally], expected: Decision
) -> None:
    assert decide(QUESTION, GRAPH, evidence) == expected


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        ({"k0": Tally(builds=False)}, "does not build"),
        ({"k0": Tally(bad=REPRODUCED)}, "which should pass, fails as well"),
        ({"k0": Tally(other=3)}, "fails differently"),
        ({"k0": Tally(good=1), "k8": Tally(builds=False)}, "does not build"),
        ({"k0": Tally(good=1), "k8": Tally(good=60)}, "could not reproduce"),
        ({"k0": Tally(good=1), "k8": Tally(other=60)}, "could not reproduce"),
    ],
)
def test_ends_that_are_not_as_they_should_be_end_it(evidence: dict[str, Tally], why: str) -> None:
    decision = decide(QUESTION, GRAPH, evidence)
    assert isinstance(decision, Stuck)
    assert why in decision.reason


@pytest.mark.parametrize(
    ("evidence", "commit", "expected"),
    [
        ({}, "c0", 1),
        ({"k0": Tally(bad=1)}, "c0", REPRODUCED),
        ({"k0": Tally(good=1)}, "c8", REPRODUCED),
        ({"k0": Tally(good=1), "k8": Tally(bad=1)}, "c8", REPRODUCED - 1),
        ({"k0": Tally(good=1), "k8": Tally(good=9)}, "c8", REPRODUCED),
        (ENDS, "c4", 1),
    ],
)  # fmt: skip
def test_an_end_that_must_fail_repeatedly_is_tested_so_at_once(
    evidence: dict[str, Tally], commit: str, expected: int
) -> None:
    assert times_in_a_row(QUESTION, GRAPH, evidence, commit, Costs(), 10) == expected
    assert times_in_a_row(QUESTION, GRAPH, evidence, commit, Costs(), 1) == 1


def test_a_kernel_that_passes_though_the_failure_is_rare_is_tested_several_times_at_once() -> None:
    rare = {"k0": Tally(good=1), "k8": Tally(good=20, bad=REPRODUCED)}
    assert isinstance(step := decide(QUESTION, GRAPH, rare), Examine)
    assert times_in_a_row(QUESTION, GRAPH, rare, step.commit, Costs(), 4) > 1


def test_nothing_to_search_is_said_without_a_test() -> None:
    same = [Commit("c0", (), "k"), Commit("c1", ("c0",), "k")]
    decision = decide(question_of(same), graph_of(same), {})
    assert decision == Stuck("no revision between the two ends changes the kernel")


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 95])
def test_every_culprit_is_found_in_the_least_number_of_steps(count: int, fixed: bool) -> None:
    commits = line(count)
    graph, question = graph_of(commits), question_of(commits, fixed=fixed)
    for number in range(1, count + 1, max(1, count // 16)):
        found = search(question, graph, Guest(commits, f"c{number}", fixed=fixed))
        assert isinstance(found.answer, Culprit)
        assert found.answer.commit == f"c{number}"
        assert found.answer.confidence >= question.confidence
        assert len(steps(found)) <= math.ceil(math.log2(count)) + 1


@pytest.mark.parametrize("costs", [Costs(5, 45), Costs(20, 15), Costs(150, 15)])
def test_a_hundred_candidates_take_seven_steps_whatever_builds_and_tests_cost(
    costs: Costs,
) -> None:
    commits = line(97)
    graph, question = graph_of(commits), question_of(commits)
    broken, strange = {"c20", "c48", "c80"}, {"c33", "c73"}
    # Those beside one that cannot be tested are not told from it.
    near = {int(name[1:]) + step for name in broken | strange for step in (0, 1)}
    needed = []
    for number in set(range(1, 98, 8)) - near:
        guest = Guest(commits, f"c{number}", broken=broken, strange=strange)
        found = search(question, graph, guest, costs)
        assert isinstance(found.answer, Culprit)
        assert found.answer.commit == f"c{number}"
        needed.append(len(steps(found) - broken - strange))
    assert max(needed) <= 8
    assert sorted(needed)[-2] <= 7


def steps(found: Search) -> set[str]:
    """The revisions that were built for the search."""
    return set(found.tests) - set(found.ends)


def test_revisions_that_leave_the_kernel_as_it_is_are_no_candidates() -> None:
    commits = [
        Commit("c0", (), "k0"),
        Commit("doc1", ("c0",), "k0"),
        Commit("c1", ("doc1",), "k1"),
        Commit("doc2", ("c1",), "k1"),
        Commit("tip", ("doc2",), "k1"),
    ]
    graph = graph_of(commits)
    assert [node.commit.name for node in graph.nodes] == ["c1"]
    assert graph.masks == {"c0": 0, "doc1": 0, "c1": 1, "doc2": 1, "tip": 1}


def test_a_merge_that_keeps_one_side_makes_the_other_no_candidate() -> None:
    commits = [
        Commit("c0", (), "k0"),
        Commit("side", ("c0",), "kside"),
        Commit("main", ("c0",), "kmain"),
        Commit("ours", ("main", "side"), "kmain"),
        Commit("tip", ("ours",), "ktip"),
    ]
    assert [node.commit.name for node in graph_of(commits).nodes] == ["main", "tip"]


def test_a_kernel_that_comes_back_takes_the_verdict_it_had() -> None:
    commits = [
        Commit("c0", (), "k0"),
        Commit("try", ("c0",), "ktry"),
        Commit("back", ("try",), "k0"),
        Commit("again", ("back",), "kagain"),
    ]
    graph = graph_of(commits)
    evidence = {"k0": Tally(good=3), "kagain": Tally(bad=REPRODUCED)}
    belief = believe(graph, evidence, fixed=False)
    assert belief.share(graph.masks["back"]) < 0.06


def test_an_unbuildable_middle_is_walked_around_and_candidates_that_cannot_be_told_are_named() -> (
    None
):
    guest = Guest(LINE, "c5", broken={"c4", "c5"}, strange={"c6"})
    found = search(QUESTION, GRAPH, guest)
    assert isinstance(found.answer, Several)
    assert found.answer.commits == ("c4", "c5", "c6", "c7")
    assert found.answer.confidence >= QUESTION.confidence


def test_what_dies_of_something_else_now_and_then_is_tried_again() -> None:
    evidence = {**ENDS, "k3": Tally(good=2), "k5": Tally(bad=2), "k4": Tally(other=1)}
    assert decide(QUESTION, GRAPH, evidence) == Examine("c4")
    evidence["k4"] = Tally(other=3)
    answer = decide(QUESTION, GRAPH, {**evidence, "k3": Tally(good=9)})
    assert isinstance(answer, Several)
    assert answer.commits == ("c4", "c5")


def test_a_pass_counts_less_the_rarer_the_failure() -> None:
    rare = {"k0": Tally(good=1), "k8": Tally(good=7, bad=3)}
    often = {"k0": Tally(good=1), "k8": Tally(bad=10)}
    shares = [
        believe(GRAPH, {**ends, "k4": Tally(good=1)}, fixed=False).share(GRAPH.masks["c4"])
        for ends in (often, rare)
    ]
    assert shares[0] < 0.15
    assert shares[1] > 0.35


def test_where_building_is_dear_what_is_built_is_tested_again() -> None:
    evidence = {"k0": Tally(good=1), "k8": Tally(good=4, bad=3), "k4": Tally(good=1)}
    assert decide(QUESTION, GRAPH, evidence, Costs(build=600, test=10)) == Examine("c4")
    always = {**ENDS, "k4": Tally(good=1)}
    assert decide(QUESTION, GRAPH, always, Costs(build=30, test=10)) == Examine("c6")


def test_one_false_alarm_against_many_passes_is_looked_into() -> None:
    alarm = {**ENDS, "k4": Tally(good=9), "k2": Tally(bad=1)}
    assert isinstance(decide(QUESTION, GRAPH, alarm), Examine)
    cleared = {**alarm, "k2": Tally(good=9, bad=1)}
    assert believe(GRAPH, cleared, fixed=False).share(GRAPH.masks["c4"]) < 0.05


def test_a_good_end_that_failed_once_must_pass_repeatedly() -> None:
    once = {"k0": Tally(good=1, bad=1), "k8": Tally(bad=REPRODUCED)}
    assert decide(QUESTION, GRAPH, once) == Examine("c0", end=True)
    cleared = {**once, "k0": Tally(good=REPRODUCED, bad=1)}
    assert decide(QUESTION, GRAPH, cleared) != Examine("c0", end=True)


def test_the_outlook_shrinks() -> None:
    before = outlook(QUESTION, GRAPH, ENDS)
    after = outlook(QUESTION, GRAPH, {**ENDS, "k4": Tally(bad=1)})
    assert before.left == 8
    assert (after.left, after.tests) < (before.left, before.tests)


@given(st.integers(0, 10**6), st.integers(3, 24))
def test_the_graph_is_what_brute_force_finds(seed: int, size: int) -> None:
    commits = random_history(random.Random(seed), size)
    graph = graph_of(commits)
    candidates = {commit.name for commit in relevant(commits)}
    assert {node.commit.name for node in graph.nodes} == candidates
    for name, mask in graph.masks.items():
        inside = {node.commit.name for node in graph.members(mask)}
        assert inside == ancestors(commits, name) & candidates


@given(st.integers(0, 10**6), st.integers(3, 24), st.booleans(), st.data())
def test_on_random_histories_the_culprit_is_among_those_named(
    seed: int, size: int, fixed: bool, data: st.DataObject
) -> None:
    chances = random.Random(seed)
    commits = random_history(chances, size)
    candidates = [commit.name for commit in relevant(commits)]
    if not candidates:
        return
    culprit = data.draw(st.sampled_from(candidates))
    ends = {commits[0].content, commits[-1].content}
    broken = {
        commit.name
        for commit in relevant(commits)
        if commit.content not in ends and chances.random() < 0.2
    }
    found = search(
        question_of(commits, fixed=fixed), graph_of(commits),
        Guest(commits, culprit, fixed=fixed, broken=broken),
    )  # fmt: skip
    named = indistinguishable(commits, candidates, culprit, broken)
    if named == {culprit}:
        assert isinstance(found.answer, Culprit), found
        assert found.answer.commit == culprit
    else:
        assert isinstance(found.answer, Several), found
        assert set(found.answer.commits) == named


def indistinguishable(
    commits: list[Commit], candidates: list[str], culprit: str, broken: set[str]
) -> set[str]:
    """By brute force: the candidates that would show the same in every revision that builds."""
    kernels = {commit.content for commit in commits if commit.name in broken}
    builds = [commit.name for commit in commits if commit.content not in kernels]
    shown = {
        name: tuple(name in ancestors(commits, revision) for revision in builds)
        for name in candidates
    }
    return {name for name in candidates if shown[name] == shown[culprit]}


@given(st.integers(0, 10**6), st.integers(4, 16), st.sampled_from([0.3, 0.6, 0.9]))
def test_the_belief_is_what_bayes_rule_says_by_brute_force(
    seed: int, size: int, rate: float
) -> None:
    chances = random.Random(seed)
    commits = random_history(chances, size)
    candidates = [commit.name for commit in relevant(commits)]
    if not candidates:
        return
    guest = Guest(commits, chances.choice(candidates), rate, seed=seed)
    evidence: dict[str, Tally] = {}
    for _ in range(12):
        commit = chances.choice(commits)
        evidence[commit.content] = guest.boot(commit.name, evidence.get(commit.content, Tally()))
    graph = graph_of(commits)
    belief = believe(graph, evidence, fixed=False)
    expected = by_brute_force(commits, candidates, evidence)
    for node in graph.nodes:
        alone = 1 << graph.nodes.index(node)
        assert belief.share(alone) == pytest.approx(expected[node.commit.name], abs=1e-3)


def by_brute_force(
    commits: list[Commit], candidates: list[str], evidence: dict[str, Tally]
) -> dict[str, float]:
    """Bayes' rule, rate by rate (the density of Beta(1, 2) is ``2 * (1 - rate)``)."""
    prior = Question("", ()).prior
    steps = 4000
    rates = [
        1 - math.sqrt(1 - (step + 0.5) / steps) for step in range(steps)
    ]  # equal shares of that density
    first = {commit.content: commit.name for commit in reversed(commits)}
    weights = {}
    for culprit in (*candidates, None):
        good = bad = others = alarms = 0
        for content, tally in evidence.items():
            if culprit is None or culprit in ancestors(commits, first[content]):
                good, bad = good + tally.good, bad + tally.bad
            else:
                others, alarms = others + tally.good, alarms + tally.bad
        likely = prior.always * (good == 0)
        likely += (1 - prior.always) * sum(rate**bad * (1 - rate) ** good for rate in rates) / steps
        likely *= prior.false_alarm**alarms * (1 - prior.false_alarm) ** others
        share = prior.outside if culprit is None else (1 - prior.outside) / len(candidates)
        weights[culprit] = likely * share
    total = sum(weights.values())
    return {culprit: weight / total for culprit, weight in weights.items() if culprit}


@pytest.mark.parametrize("guests", [1, 4])
@pytest.mark.parametrize(
    ("number", "chance"), [(32, 2.0), pytest.param(1000, 0.0, marks=pytest.mark.long)]
)
def test_of_many_flaky_bisections_no_more_are_wrong_than_was_said(
    number: int, chance: float, guests: int
) -> None:
    """Of a few, by chance more may be wrong: so many standard deviations, of a Poisson's."""
    commits = line(32)
    graph, question = graph_of(commits), question_of(commits)
    wrong, doubts, answers = 0, 0.0, 0
    for seed in range(number):
        culprit = f"c{seed % 32 + 1}"
        guest = Guest(commits, culprit, 1 / 3, seed=seed)
        found = search(question, graph, guest, guests=guests)
        if isinstance(found.answer, Culprit):
            answers += 1
            wrong += found.answer.commit != culprit
            doubts += 1 - found.answer.confidence
    assert answers > 0.99 * number
    assert wrong <= doubts + chance * math.sqrt(doubts)
    assert doubts <= answers * (1 - question.confidence)


def test_the_graph_of_a_history_with_a_second_old_side_leaves_that_out() -> None:
    commits = [
        Commit("c0", (), "k0"),
        Commit("good", ("c0",), "kgood"),
        Commit("c1", ("c0",), "k1"),
        Commit("merge", ("c1", "good"), "kmerge"),
    ]
    graph: Graph = reduced(commits, "merge", {"c0", "good"})
    assert [node.commit.name for node in graph.nodes] == ["c1", "merge"]
