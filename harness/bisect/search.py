"""What to do next: decisions from counts, without a side effect."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.bisect.belief import Belief, Prior, believe
from harness.bisect.evidence import Tally

if TYPE_CHECKING:
    from harness.bisect.graph import Graph

#: How often the failing end must fail before the search begins: what is learned of the failure's
#: rate there, without a build, every later pass is judged by.
REPRODUCED = 3

#: Tests that say nothing (it died of something else) after which a revision is left alone.
_SPEECHLESS = 3

#: How likely, against a first try, a test says something after ``n`` that did not; see below.
_SPEAKS = 0.3

#: How much less likely the neighbour of a revision that cannot be tested can be: broken revisions
#: come in runs. Halved with each step away.
_NEIGHBOUR = 0.5

#: Tests that tell nearly as much as the best one are as good; the one nearest the middle is taken.
_AS_GOOD = 0.95

#: How likely something else than the revision decides whether it compiles.
_CHANCE = 1e-6

#: Bits below which a test is not worth its time.
_NOTHING = 1e-4


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Args:
        new: the end that has all the changes: the failing one, or with ``fixed`` the passing one.
        old: the other end, first, and what it has in common with ``new`` where it is no ancestor.
        fixed: find the revision from which on it passes.
        confidence: to be reached, between 0 and 1.
        repeat: the most tests of one kernel.
        prior: what is believed of failures.
        certain: each test of a kernel shows the same, so one is enough.
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
        """The question which revision broke or mended the compilation."""
        prior = Prior(always=1 - _CHANCE, false_alarm=_CHANCE)
        return cls(new, old, fixed, repeat=1, prior=prior, certain=True)

    @property
    def reproduced(self) -> int:
        """How often the failing end must fail before the search begins."""
        return 1 if self.certain else REPRODUCED

    @property
    def speechless(self) -> int:
        """Tests that say nothing after which a revision is left alone."""
        return 1 if self.certain else _SPEECHLESS

    @property
    def merge_bases(self) -> tuple[str, ...]:
        """What the ends have in common, if they are on two branches; tested before them."""
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
    """This revision it is, with that confidence."""

    commit: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Several:
    """One of these it is, with that confidence; no test that is possible tells which."""

    commits: tuple[str, ...]
    confidence: float


@dataclass(frozen=True, slots=True)
class Stuck:
    """There is no answer."""

    reason: str


Decision = Examine | Culprit | Several | Stuck


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is still to do: ``left`` revisions may be it, about ``tests`` more tests."""

    left: int
    tests: int


def decide(
    question: Question,
    graph: Graph,
    evidence: Mapping[str, Tally],
    costs: Costs | None = None,
) -> Decision:
    """What to do, given what is known; the same for the same arguments, always.

    Args:
        question: what is asked.
        graph: what may be the culprit.
        evidence: what tests have shown, by content.
        costs: what builds and tests take.
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
    """Whether the next test of a revision will rather fail than pass, as far as is known."""
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
    """How many tests of this revision will be wanted one after the other, at the most ``most``.

    Counted as if each shows what is expected of it. They can run at once: none waits for what
    another shows.
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
    """How much is still to do."""
    belief = believe(graph, evidence, fixed=question.fixed, prior=question.prior)
    left = belief.likeliest(question.confidence).bit_count()
    tested = any(graph.masks.get(name, 0) for name in _tested(graph, evidence))
    bits_left = math.log2(max(1, left)) if tested else math.log2(max(1, len(graph.nodes)))
    rate = max(belief.rate, 0.05)
    # A test of a failure that always shows tells a bit; of one with rate r, about r.
    return Outlook(left, max(1, math.ceil(bits_left / rate)))


def _several(graph: Graph, likely: int, share: float) -> Several:
    return Several(tuple(node.commit.name for node in graph.members(likely)), share)


def _tested(graph: Graph, evidence: Mapping[str, Tally]) -> Iterator[str]:
    return (name for name, content in graph.contents.items() if content in evidence)


# The ends


def _ends(
    question: Question, graph: Graph, evidence: Mapping[str, Tally]
) -> Examine | Stuck | None:
    """The test that an end still needs, or why there can be no search; merge bases first."""
    for name in dict.fromkeys((*question.merge_bases, *question.passing, *question.failing)):
        tally = evidence.get(graph.contents[name], Tally())
        end = _passing_end if name in question.passing else _failing_end
        found = end(question, name, tally)
        if found is not None:
            return found
    return None


def _passing_end(question: Question, name: str, tally: Tally) -> Examine | Stuck | None:
    if not tally.builds:
        return Stuck(f"{name[:12]}, which is to pass, does not build")
    if tally.bad >= question.reproduced:
        return _passing_end_fails(question, name)
    if tally.good and (not tally.bad or tally.good >= question.reproduced):
        return None
    if not tally.bad and tally.other >= question.speechless:
        does = "fails with another error" if question.certain else "dies of something else"
        return Stuck(f"{name[:12]}, which is to pass, {does}")
    return Examine(name, end=True)


def _passing_end_fails(question: Question, name: str) -> Stuck:
    if name not in question.merge_bases:
        return Stuck(f"{name[:12]}, which is to pass, fails as well")
    base, good = name[:12], question.old[0][:12]
    return Stuck(
        f"the merge base {base} fails as well, so nothing on the branch of the bad end broke it; "
        f"{good}, on the other branch, was fixed since: --fixed --bad {base} --good {good} finds "
        "by what"
    )


def _failing_end(question: Question, name: str, tally: Tally) -> Examine | Stuck | None:
    if not tally.builds:
        return Stuck(f"{name[:12]}, which is to fail, does not build")
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
        return Stuck("the tests say that the change is not between the two ends")
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
    """Whether a test with that mask can tell some of the likely ones from the others."""
    return 0 < (mask & likely).bit_count() < likely.bit_count()


def _testable(
    question: Question, graph: Graph, evidence: Mapping[str, Tally]
) -> Iterator[tuple[str, int]]:
    """The revisions that a test may tell something of, with their masks; a kernel once."""
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
    """The revision whose test is expected to tell most for its time."""
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
    """Per second; a kernel that was tested is there."""
    return 1.0 / max(0.001, costs.test + (0.0 if tally.tests else costs.build))


def _speaks(tally: Tally) -> float:
    """How likely a test will say something."""
    spoke = tally.good + tally.bad
    return (spoke + _SPEAKS) / (spoke + tally.other + _SPEAKS)


def _neighbourhood(graph: Graph, evidence: Mapping[str, Tally]) -> dict[str, float]:
    """How likely revisions near untestable ones can be tested, in the order of the graph."""
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
