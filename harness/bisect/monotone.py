"""Finds tests that show that a failure came and went.

Each test of a compilation gives the same result, so chance explains no contradiction. The search
then looks for the newest transition: a revision like the old end overrules its ancestors that are
like the new end. git-bisect(1) searches the same part of the history without a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.bisect.evidence import Tally
    from harness.bisect.graph import Graph


@dataclass(frozen=True, slots=True)
class Reversal:
    """A revision that is like the new end, and a descendant that is like the old one.

    Args:
        earlier: the ancestor, which fails, or with ``fixed`` passes.
        later: the descendant, which passes, or with ``fixed`` fails.
    """

    earlier: str
    later: str


@dataclass(frozen=True, slots=True)
class Consistent:
    """Evidence without contradictions.

    Args:
        evidence: tallies by content.
        reversals: the removed tests, each with one test that contradicts it.
    """

    evidence: Mapping[str, Tally]
    reversals: tuple[Reversal, ...]


def consistent(graph: Graph, evidence: Mapping[str, Tally], *, fixed: bool) -> Consistent:
    """Remove tests that a later revision overrules.

    Args:
        graph: the revisions.
        evidence: tallies by content; all tests of one content agree.
        fixed: the search is for the revision that fixed the failure.
    """
    old_like = {
        name: graph.masks.get(name, 0)
        for name, content in graph.contents.items()
        if content in evidence and _like_old(evidence[content], fixed=fixed)
    }
    reversals: list[Reversal] = []
    left = dict(evidence)
    for node in graph.nodes:
        name, content = node.commit.name, node.commit.content
        if content not in left or not _like_new(left[content], fixed=fixed):
            continue
        # The oldest descendant is closest to where the failure went away.
        later = [other for other, mask in old_like.items() if not node.mask & ~mask]
        if later:
            reversals.append(Reversal(name, min(later, key=lambda one: old_like[one].bit_count())))
            del left[content]
    return Consistent(left, tuple(reversals))


def _like_old(tally: Tally, *, fixed: bool) -> bool:
    return bool(tally.bad if fixed else tally.good)


def _like_new(tally: Tally, *, fixed: bool) -> bool:
    return bool(tally.good if fixed else tally.bad)
