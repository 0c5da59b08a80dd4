"""The graph of revisions between two ends, reduced to those that can change the kernel.

The reduction is git's history simplification (git-log(1)), with the kernel's inputs in place of
paths: a revision whose kernel equals a parent's is equivalent to that parent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Commit:
    """One revision.

    Args:
        name: git's hash.
        parents: the parents' names, in git's order.
        content: hash of the kernel's inputs; equal contents give equal kernels.
        subject: the first line of its message.
    """

    name: str
    parents: tuple[str, ...]
    content: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A revision that changes the kernel, and so can be the culprit.

    Args:
        commit: the revision.
        mask: itself and its ancestors; bit ``i`` is the graph's node ``i``.
    """

    commit: Commit
    mask: int


@dataclass(frozen=True, slots=True)
class Graph:
    """All candidates, parents before children.

    Args:
        nodes: candidates between the ends, the newest end included.
        masks: mask of every known revision by name; 0 on the old side.
        contents: content of every known revision by name.
    """

    nodes: tuple[Candidate, ...]
    masks: Mapping[str, int]
    contents: Mapping[str, str]

    @property
    def all(self) -> int:
        """The mask of all nodes."""
        return (1 << len(self.nodes)) - 1

    def members(self, mask: int) -> Iterator[Candidate]:
        """Return the nodes in a mask."""
        return (self.nodes[index] for index in bits(mask))


def bits(mask: int) -> Iterator[int]:
    """Yield the numbers of a mask's bits, lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def reduced(commits: Sequence[Commit], new: str, old_side: Collection[str]) -> Graph:
    """Return the graph of what can distinguish ``new`` from the old side.

    Args:
        commits: parents before children; a parent that is not in them is on the old side.
        new: name of the newest end.
        old_side: names of commits that are on the old side.
    """
    masks: dict[str, int] = {}
    contents = {commit.name: commit.content for commit in commits}
    found: list[Commit] = []
    for commit in commits:
        if commit.name in old_side:
            masks[commit.name] = 0
            continue
        same = [one for one in commit.parents if contents.get(one) == commit.content]
        if same:
            masks[commit.name] = masks.get(same[0], 0)
            continue
        mask = 1 << len(found)
        for parent in commit.parents:
            mask |= masks.get(parent, 0)
        masks[commit.name] = mask
        found.append(commit)
    return _between(found, masks, contents, masks.get(new, 0))


def _between(
    found: Sequence[Commit], masks: Mapping[str, int], contents: Mapping[str, str], within: int
) -> Graph:
    """Return the graph of only the nodes of ``within``, renumbered."""
    kept = list(bits(within))
    if len(kept) == len(found):
        renumbered = masks
    else:
        renumbered = {name: _picked(mask & within, kept) for name, mask in masks.items()}
    nodes = tuple(Candidate(found[index], renumbered[found[index].name]) for index in kept)
    return Graph(nodes, renumbered, contents)


def _picked(mask: int, kept: Sequence[int]) -> int:
    """Return the bits of ``mask`` at the positions ``kept``, packed."""
    return sum(1 << place for place, index in enumerate(kept) if mask >> index & 1)
