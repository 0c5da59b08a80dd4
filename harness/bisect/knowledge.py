"""The question of a bisection, and what its state implies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.bisect.evidence import Tally, Target, tallies, target_of, with_equal_kernels
from harness.bisect.graph import Graph, reduced
from harness.bisect.monotone import consistent

if TYPE_CHECKING:
    from harness.bisect.history import History, Relevance
    from harness.bisect.monotone import Reversal
    from harness.bisect.search import Question
    from harness.bisect.state import State


@dataclass(frozen=True, slots=True)
class Asked:
    """The question.

    Args:
        question: see ``search``.
        title: title of the failure that counts; None: that of the failing end.
        any_failure: every failure counts.
        also: titles that count in addition.
        skipped: revisions that are not tested.
        how: the kind of test: ``boot``, ``check`` or ``build``.
        first_parent: see ``read_history``.
    """

    question: Question
    title: str | None = None
    any_failure: bool = False
    also: frozenset[str] = frozenset()
    skipped: frozenset[str] = frozenset()
    how: str = "boot"
    first_parent: bool = False


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a state implies.

    Args:
        graph: the candidates.
        target: the failures that count.
        seen: the tallies by content.
        evidence: the tallies that the search uses.
        reversals: tests that contradict others; see ``monotone``.
    """

    graph: Graph
    target: Target
    seen: Mapping[str, Tally]
    evidence: Mapping[str, Tally]
    reversals: tuple[Reversal, ...] = ()

    def tally(self, commit: str) -> Tally:
        """Return a revision's tally."""
        return self.seen.get(self.graph.contents.get(commit, ""), Tally())


def knowledge(asked: Asked, history: History, relevance: Relevance, state: State) -> Knowledge:
    """Derive the knowledge from the state."""
    question = asked.question
    if state.reads is not None:
        relevance = replace(relevance, read=state.reads)
    commits = with_equal_kernels(history.commits(relevance), state.kernels)
    graph = reduced(commits, question.new, history.old_side)
    # A compiler's errors are not reports that a kernel survives.
    passing = () if question.certain else question.passing
    target = target_of(
        state.observations, passing, question.failing,
        title=asked.title, any_failure=asked.any_failure, also=asked.also,
    )  # fmt: skip
    seen = tallies(state.observations, target, graph.contents)
    for node in graph.nodes:
        if node.commit.name in asked.skipped:
            content = node.commit.content
            seen[content] = replace(seen.get(content, Tally()), skipped=True)
    if not question.certain:
        return Knowledge(graph, target, seen, seen)
    found = consistent(graph, seen, fixed=question.fixed)
    return Knowledge(graph, target, seen, found.evidence, found.reversals)
