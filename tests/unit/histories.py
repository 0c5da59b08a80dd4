"""Histories of revisions for the tests of the search, and scripted guests that boot them."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from harness.bisect.evidence import Tally
from harness.bisect.graph import Commit, Graph, reduced
from harness.bisect.search import Costs, Decision, Examine, Question, decide, times_in_a_row


def line(count: int) -> list[Commit]:
    """``c0`` (the old end) to ``cN``, each with a kernel of its own."""
    first = Commit("c0", (), "k0")
    return [
        first,
        *(Commit(f"c{n}", (f"c{n - 1}",), f"k{n}") for n in range(1, count + 1)),
    ]


def graph_of(commits: Sequence[Commit]) -> Graph:
    """From the first of them to the last."""
    return reduced(commits, commits[-1].name, {commits[0].name})


def question_of(commits: Sequence[Commit], *, fixed: bool = False, repeat: int = 60) -> Question:
    return Question(commits[-1].name, (commits[0].name,), fixed=fixed, repeat=repeat)


def ancestors(commits: Sequence[Commit], name: str) -> set[str]:
    """The name and all its ancestors, the simple way."""
    parents = {commit.name: commit.parents for commit in commits}
    found: set[str] = set()
    left = [name]
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += parents.get(one, ())
    return found


@dataclass(slots=True)
class Guest:
    """A scripted guest: it fails, in a share of its boots, where the culprit's bug is in it.

    Args:
        commits: the history.
        culprit: the name of the revision that breaks (with ``fixed``: mends) it.
        rate: how often a bad kernel fails.
        fixed: see ``Question``.
        broken: revisions that do not build.
        strange: revisions that die of something else.
        seed: of its chances.
    """

    commits: Sequence[Commit]
    culprit: str
    rate: float = 1.0
    fixed: bool = False
    broken: Collection[str] = ()
    strange: Collection[str] = ()
    seed: int = 0
    chances: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chances = random.Random(self.seed)

    def is_bad(self, name: str) -> bool:
        return (self.culprit in ancestors(self.commits, name)) is not self.fixed

    def boot(self, name: str, tally: Tally) -> Tally:
        """The tally with one more test in it."""
        if name in self.broken:
            return replace(tally, builds=False)
        if name in self.strange:
            return replace(tally, other=tally.other + 1)
        if self.is_bad(name) and self.chances.random() < self.rate:
            return replace(tally, bad=tally.bad + 1)
        return replace(tally, good=tally.good + 1)


@dataclass(frozen=True, slots=True)
class Search:
    """A search that has ended.

    Args:
        answer: what it came to.
        tests: the revisions that were tested, in order; ``ends`` are those of the ends.
    """

    answer: Decision
    tests: tuple[str, ...]
    ends: tuple[str, ...]


def search(
    question: Question, graph: Graph, guest: Guest, costs: Costs | None = None, guests: int = 1
) -> Search:
    """Test what is to be tested until there is an answer, in so many guests at once."""
    evidence: dict[str, Tally] = {}
    tests: list[str] = []
    ends: list[str] = []
    while isinstance(step := decide(question, graph, evidence, costs), Examine):
        content = graph.contents[step.commit]
        for _ in range(
            times_in_a_row(question, graph, evidence, step.commit, costs or Costs(), guests)
        ):
            evidence[content] = guest.boot(step.commit, evidence.get(content, Tally()))
            (ends if step.end else tests).append(step.commit)
    return Search(step, tuple(tests), tuple(ends))


def random_history(chances: random.Random, size: int) -> list[Commit]:
    """A history with branches, merges and revisions that leave the kernel as it is.

    The last revision has all others among its ancestors.
    """
    commits = [Commit("c0", (), "k0")]
    heads = ["c0"]
    for number in range(1, size):
        name = f"c{number}"
        commits.append(_grown(chances, commits, heads, name))
    if len(heads) > 1:
        commits.append(Commit("tip", tuple(heads), "ktip"))
    return commits


def _grown(chances: random.Random, commits: list[Commit], heads: list[str], name: str) -> Commit:
    contents = {commit.name: commit.content for commit in commits}
    if len(heads) > 1 and chances.random() < 0.3:
        parents = tuple(chances.sample(heads, 2))
    elif chances.random() < 0.2:
        parents = (chances.choice(commits).name,)
    else:
        parents = (chances.choice(heads),)
    heads[:] = [head for head in heads if head not in parents] + [name]
    # A merge that leaves out one side would be a second change; those have a test of their own.
    same = len(parents) == 1 and chances.random() < 0.4
    return Commit(name, parents, contents[parents[0]] if same else f"k{name}")


def relevant(commits: Sequence[Commit]) -> Iterator[Commit]:
    """Those that change the kernel, and so may be culprits."""
    contents = {commit.name: commit.content for commit in commits}
    for commit in commits[1:]:
        if all(contents[parent] != commit.content for parent in commit.parents):
            yield commit
