"""Where tests contradict that a failure, once there, stays: it came and went.

Each test of a compilation shows the same, so that chance explains no contradiction. The search then
looks for the newest transition: what is like the old end outranks, in its ancestors, what is like
the new one. git-bisect(1) takes the same part of the history without a word.
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
        earlier: the ancestor: it fails, or with ``fixed`` passes.
        later: the descendant: it passes, or with ``fixed`` fails.
    """

    earlier: str
    later: str


@dataclass(frozen=True, slots=True)
class Consistent:
    """Evidence in which the failure, once there, stays.

    Args:
        evidence: by content.
        reversals: what was left out, each with one test that contradicts it.
    """

    evidence: Mapping[str, Tally]
    reversals: tuple[Reversal, ...]


def consistent(graph: Graph, evidence: Mapping[str, Tally], *, fixed: bool) -> Consistent:
    """Leave out what an outranking test contradicts.

    Args:
        graph: the revisions.
        evidence: what tests have shown, by content; each test of one content shows the same.
        fixed: the revision is looked for from which on it passes.
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
        # The oldest descendant tells most closely where the failure went.
        later = [other for other, mask in old_like.items() if not node.mask & ~mask]
        if later:
            reversals.append(Reversal(name, min(later, key=lambda one: old_like[one].bit_count())))
            del left[content]
    return Consistent(left, tuple(reversals))


def _like_old(tally: Tally, *, fixed: bool) -> bool:
    return bool(tally.bad if fixed else tally.good)


def _like_new(tally: Tally, *, fixed: bool) -> bool:
    return bool(tally.good if fixed else tally.bad)
