"""Decides the next step of a bisection. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.bisect.belief import Belief, Prior, believe
from harness.bisect.evidence import Tally

if TYPE_CHECKING:
    from harness.bisect.graph import Graph

#: Failures of the failing end that are required before the search. They give the failure's rate,
#: without further builds; the weight of every later pass depends on it.
REPRODUCED = 3

#: Tests without a verdict (other failures) after which a revision is not tested again.
_SPEECHLESS = 3

#: Relative probability of a verdict after ``n`` tests without one; see below.
_SPEAKS = 0.3

#: Reduction of the probability that the neighbour of an untestable revision is testable: broken
#: revisions come in runs. Halved with each step away.
_NEIGHBOUR = 0.5

#: Tests with nearly the information of the best one are equally good; the middle one is taken.
_AS_GOOD = 0.95

#: Probability that something other than the revision decides whether it compiles.
_CHANCE = 1e-6

#: Information, in bits, below which a test is not worth its time.
_NOTHING = 1e-4


@dataclass(frozen=True, slots=True)
class Question:
    """The question and its limits.

    Args:
        new: the end that has all the changes: the failing one, or with ``fixed`` the passing one.
        old: the other end, then the merge bases if it is not an ancestor of ``new``.
        fixed: find the revision that fixed the failure.
        confidence: required confidence, between 0 and 1.
        repeat: most tests of one kernel.
        prior: the belief before the tests.
        certain: all tests of a kernel agree, so one is enough.
    """

    new: str
    old: tuple[str, ...]
    fixed: bool = False
    confidence: float = 0.95
    repeat: int = 30
    prior: Prior = field(default_factory=Prior)
    certain: bool = False

    @classmethod
    def of_builds(cls, new: str, old: tuple[str, ...], *, fixed: bool) -> Question:
        """Return the question for the revision that broke or fixed the compilation."""
        prior = Prior(always=1 - _CHANCE, false_alarm=_CHANCE)
        return cls(new, old, fixed, repeat=1, prior=prior, certain=True)

    @property
    def reproduced(self) -> int:
        """Required failures of the failing end before the search."""
        return 1 if self.certain else REPRODUCED

    @property
    def speechless(self) -> int:
        """Tests without a verdict after which a revision is not tested again."""
        return 1 if self.certain else _SPEECHLESS

    @property
    def merge_bases(self) -> tuple[str, ...]:
        """The merge bases if the ends are on two branches; tested before the ends."""
        return self.old[1:]

    @property
    def passing(self) -> tuple[str, ...]:
        """The ends that must pass."""
        return (self.new,) if self.fixed else self.old

    @property
    def failing(self) -> tuple[str, ...]:
        """The ends that must fail."""
        return self.old if self.fixed else (self.new,)


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds that a build and a test take."""

    build: float = 30.0
    test: float = 15.0


@dataclass(frozen=True, slots=True)
class Examine:
    """Test this revision; ``end`` if it is one of the ends."""

    commit: str
    end: bool = False


@dataclass(frozen=True, slots=True)
class Culprit:
    """This revision is the culprit, with that confidence."""

    commit: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Several:
    """One of these is the culprit, with that confidence; no possible test decides which."""

    commits: tuple[str, ...]
    confidence: float


@dataclass(frozen=True, slots=True)
class Stuck:
    """There is no answer."""

    reason: str


Decision = Examine | Culprit | Several | Stuck


@dataclass(frozen=True, slots=True)
class Outlook:
    """Remaining work: ``left`` candidates, about ``tests`` more tests."""

    left: int
    tests: int


def decide(
    question: Question,
    graph: Graph,
    evidence: Mapping[str, Tally],
    costs: Costs | None = None,
) -> Decision:
    """Return the next step; deterministic.

    Args:
        question: the question.
        graph: the candidates.
        evidence: tallies by content.
        costs: median build and test times.
    """
    if not graph.nodes:
        return Stuck("no revision between the two ends changes the kernel")
    first = _ends(question, graph, evidence)
    if first is not None:
        return first
    return _search(question, graph, evidence, costs or Costs())


def expects_failure(
    question: Question, graph: Graph, evidence: Mapping[str, Tally], commit: str
) -> bool:
    """Return whether the next test of a revision more likely fails than passes."""
    if commit in question.failing:
        return True
    if commit in question.passing:
        return False
    belief = believe(graph, evidence, fixed=question.fixed, prior=question.prior)
    share = belief.share(graph.masks[commit])
    return (1 - share if question.fixed else share) * belief.rate > 0.5


def times_in_a_row(
    question: Question,
    graph: Graph,
    evidence: Mapping[str, Tally],
    commit: str,
    costs: Costs,
    most: int,
) -> int:
    """Return how many consecutive tests of this revision are wanted, at most ``most``.

    Assumes that each gives the expected result. They can run at once, since none depends on
    another.
    """
    content = graph.contents[commit]
    seen = dict(evidence)
    for times in range(1, most):
        tally = seen.get(content, Tally())
        fails = expects_failure(question, graph, seen, commit)
        seen[content] = replace(tally, bad=tally.bad + fails, good=tally.good + (not fails))
        wanted = decide(question, graph, seen, costs)
        if not isinstance(wanted, Examine) or graph.contents[wanted.commit] != content:
            return times
    return most


def outlook(question: Question, graph: Graph, evidence: Mapping[str, Tally]) -> Outlook:
    """Return the remaining work."""
    belief = believe(graph, evidence, fixed=question.fixed, prior=question.prior)
    left = belief.likeliest(question.confidence).bit_count()
    tested = any(graph.masks.get(name, 0) for name in _tested(graph, evidence))
    bits_left = math.log2(max(1, left)) if tested else math.log2(max(1, len(graph.nodes)))
    rate = max(belief.rate, 0.05)
    # A test gives one bit if the failure always shows, about r bits if it shows at rate r.
    return Outlook(left, max(1, math.ceil(bits_left / rate)))


def _several(graph: Graph, likely: int, share: float) -> Several:
    return Several(tuple(node.commit.name for node in graph.members(likely)), share)


def _tested(graph: Graph, evidence: Mapping[str, Tally]) -> Iterator[str]:
    return (name for name, content in graph.contents.items() if content in evidence)


# The ends


def _ends(
    question: Question, graph: Graph, evidence: Mapping[str, Tally]
) -> Examine | Stuck | None:
    """Return the test that an end still needs, or why there can be no search; merge bases first."""
    for name in dict.fromkeys((*question.merge_bases, *question.passing, *question.failing)):
        tally = evidence.get(graph.contents[name], Tally())
        end = _passing_end if name in question.passing else _failing_end
        found = end(question, name, tally)
        if found is not None:
            return found
    return None


def _passing_end(question: Question, name: str, tally: Tally) -> Examine | Stuck | None:
    if not tally.builds:
        return Stuck(f"{name[:12]}, which should pass, does not build")
    if tally.bad >= question.reproduced:
        return _passing_end_fails(question, name)
    if tally.good and (not tally.bad or tally.good >= question.reproduced):
        return None
    if not tally.bad and tally.other >= question.speechless:
        does = "fails with another error" if question.certain else "fails differently"
        return Stuck(f"{name[:12]}, which should pass, {does}")
    return Examine(name, end=True)


def _passing_end_fails(question: Question, name: str) -> Stuck:
    if name not in question.merge_bases:
        return Stuck(f"{name[:12]}, which should pass, fails as well")
    base, good = name[:12], question.old[0][:12]
    return Stuck(
        f"the merge base {base} fails as well, so nothing on the branch of the bad end broke it; "
        f"{good}, on the other branch, was fixed since: --fixed --bad {base} --good {good} finds "
        "by what"
    )


def _failing_end(question: Question, name: str, tally: Tally) -> Examine | Stuck | None:
    if not tally.builds:
        return Stuck(f"{name[:12]}, which should fail, does not build")
    if tally.bad >= question.reproduced:
        return None
    if tally.tests < question.repeat:
        return Examine(name, end=True)
    if tally.bad:
        return None
    if name in question.merge_bases:
        return Stuck(
            f"the merge base {name[:12]} did not fail in {tally.tests} tests, so nothing on the "
            f"branch of the good end fixed it; {question.old[0][:12]}, on the other branch, was "
            f"broken since: --good {name[:12]} --bad {question.old[0][:12]} finds by what"
        )
    return Stuck(
        f"could not reproduce the failure: {name[:12]} did not fail in {tally.tests} "
        f"test{'' if tally.tests == 1 else 's'}"
    )


# The search


def _search(
    question: Question, graph: Graph, evidence: Mapping[str, Tally], costs: Costs
) -> Decision:
    belief = believe(graph, evidence, fixed=question.fixed, prior=question.prior)
    if belief.outside.weight >= question.confidence:
        return Stuck("according to the tests, the change is not between the two ends")
    likely = belief.likeliest(question.confidence)
    share = belief.share(likely)
    settled = share >= question.confidence
    if settled and likely.bit_count() == 1:
        return Culprit(next(graph.members(likely)).commit.name, share)
    testable = dict(_testable(question, graph, evidence))
    if settled and not any(_parts(mask, likely) for mask in testable.values()):
        return _several(graph, likely, share)
    best = _best(graph, evidence, belief, testable, costs)
    return _several(graph, likely, share) if best is None else Examine(best)


def _parts(mask: int, likely: int) -> bool:
    """Return whether a test with that mask can distinguish likely candidates."""
    return 0 < (mask & likely).bit_count() < likely.bit_count()


def _testable(
    question: Question, graph: Graph, evidence: Mapping[str, Tally]
) -> Iterator[tuple[str, int]]:
    """Return the revisions worth testing with their masks, each kernel once."""
    seen = set()
    ends = (*question.passing, *question.failing)
    names = (*(node.commit.name for node in graph.nodes), *ends)
    for name in names:
        content = graph.contents[name]
        tally = evidence.get(content, Tally())
        speechless = tally.other >= question.speechless and not tally.good + tally.bad
        if content in seen or not tally.testable or speechless or tally.tests >= question.repeat:
            continue
        seen.add(content)
        yield name, graph.masks[name]


def _best(
    graph: Graph,
    evidence: Mapping[str, Tally],
    belief: Belief,
    testable: Mapping[str, int],
    costs: Costs,
) -> str | None:
    """Return the revision whose test gives the most information for its time."""
    nearby = _neighbourhood(graph, evidence)
    told = belief.told_by(testable.values())
    values = {}
    for name, mask in testable.items():
        if told[mask] < _NOTHING:
            continue
        tally = evidence.get(graph.contents[name], Tally())
        values[name] = told[mask] * _speaks(tally) * nearby.get(name, 1.0) * _worth(tally, costs)
    if not values:
        return None
    enough = _AS_GOOD * max(values.values())
    nearest = (name for name, value in values.items() if value >= enough)
    return min(nearest, key=lambda name: abs(belief.share(testable[name]) - 0.5))


def _worth(tally: Tally, costs: Costs) -> float:
    """Return the information per second; a tested kernel needs no build."""
    return 1.0 / max(0.001, costs.test + (0.0 if tally.tests else costs.build))


def _speaks(tally: Tally) -> float:
    """Return the probability that a test gives a verdict."""
    spoke = tally.good + tally.bad
    return (spoke + _SPEAKS) / (spoke + tally.other + _SPEAKS)


def _neighbourhood(graph: Graph, evidence: Mapping[str, Tally]) -> dict[str, float]:
    """Return the probability, in graph order, that revisions near untestable ones are testable."""
    found: dict[str, float] = {}
    names = [node.commit.name for node in graph.nodes]
    for place, name in enumerate(names):
        tally = evidence.get(graph.contents[name], Tally())
        if tally.testable and not (tally.other and not tally.good + tally.bad):
            continue
        for step in range(1, 5):
            for other in (place - step, place + step):
                if 0 <= other < len(names):
                    factor = 1.0 - _NEIGHBOUR**step
                    found[names[other]] = found.get(names[other], 1.0) * factor
    return found
