"""What a bisection is asked for, and what its state means."""

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
    """What is bisected.

    Args:
        question: see ``search``.
        title: what counts as the failure, if the user says so.
        any_failure: every failure counts.
        also: titles that count besides what the failing end died of.
        skipped: revisions that are not to be tested.
        how: what is looked at: ``boot``, ``check`` or ``build``.
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
    """What a state means.

    Args:
        graph: what may be the culprit.
        target: what counts as the failure.
        seen: the tallies by content.
        evidence: those of them that the search goes by.
        reversals: tests that contradict others; see ``monotone``.
    """

    graph: Graph
    target: Target
    seen: Mapping[str, Tally]
    evidence: Mapping[str, Tally]
    reversals: tuple[Reversal, ...] = ()

    def tally(self, commit: str) -> Tally:
        """What is known of a revision."""
        return self.seen.get(self.graph.contents.get(commit, ""), Tally())


def knowledge(asked: Asked, history: History, relevance: Relevance, state: State) -> Knowledge:
    """Follow from the state what there is to know."""
    question = asked.question
    if state.reads is not None:
        relevance = replace(relevance, read=state.reads)
    commits = with_equal_kernels(history.commits(relevance), state.kernels)
    graph = reduced(commits, question.new, history.old_side)
    # A compiler's errors are no reports that a kernel survives.
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
