"""Counts test results: one tally for each kernel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.bisect.graph import Commit


class Kind(StrEnum):
    """Result of one test of one revision, before the target is known."""

    PASSED = "passed"
    """it reached its goal; ``titles`` may hold reports that it survived"""
    FAILED = "failed"
    """it died; ``titles`` say of what"""
    UNBUILDABLE = "does not build"
    SKIPPED = "skipped"
    """the user's own command would not judge it"""
    INFRA = "host failed"


class Mark(StrEnum):
    """Verdict of a test on a revision, in the terms of git-bisect(1)."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"
    INFRA = "infra"


@dataclass(frozen=True, slots=True)
class RevisionTest:
    """One test of one revision.

    Args:
        commit: the revision's hash.
        kind: the result.
        titles: comparable titles of all its failures, that which ended it first.
        outcome: the outcome, in a word.
        build_seconds: duration of the build; 0 for a cached kernel.
        seconds: duration of the test alone.
        cell: the test's directory in the run's; empty if there is none.
        error: the host's or the compiler's message.
    """

    commit: str
    kind: Kind
    titles: tuple[str, ...] = ()
    outcome: str = ""
    build_seconds: float = 0.0
    seconds: float = 0.0
    cell: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Tally:
    """The tests of one kernel.

    Args:
        good: tests without the failure.
        bad: tests with it.
        other: tests without a verdict: another failure, or skipped.
        builds: whether it builds.
        skipped: whether the user excluded it.
    """

    good: int = 0
    bad: int = 0
    other: int = 0
    builds: bool = True
    skipped: bool = False

    @property
    def testable(self) -> bool:
        """Whether it builds and is not excluded."""
        return self.builds and not self.skipped

    @property
    def tests(self) -> int:
        """Number of tests."""
        return self.good + self.bad + self.other


@dataclass(frozen=True, slots=True)
class Target:
    """The failures that count.

    Args:
        title: part of the title that counts; None: all except those in ``own``.
        own: titles that the good end shows as well; they are ignored.
        also: titles that count in addition.
    """

    title: str | None = None
    own: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()

    def matches(self, observation: RevisionTest) -> bool:
        """Return whether the test shows the failure."""
        if observation.kind not in (Kind.PASSED, Kind.FAILED):
            return False
        if observation.kind is Kind.FAILED and not observation.titles:
            return True  # an imported log says so
        if self.title is None:
            return any(title not in self.own for title in observation.titles)
        if any(title in self.also - self.own for title in observation.titles):
            return True
        return any(self.title in title for title in observation.titles)

    def mark(self, observation: RevisionTest) -> Mark:
        """Return the verdict of a test.

        A test that reached its stage without the failure is good, whatever else it reported. One
        that failed differently ended before the failure could show.
        """
        if observation.kind is Kind.INFRA:
            return Mark.INFRA
        if self.matches(observation):
            return Mark.BAD
        return Mark.GOOD if observation.kind is Kind.PASSED else Mark.SKIP


def with_equal_kernels(commits: Sequence[Commit], kernels: Mapping[str, str]) -> list[Commit]:
    """Return the commits, with one content for all revisions that made the same kernel.

    Args:
        commits: the revisions.
        kernels: digests of the built kernels by revision.
    """
    first: dict[str, str] = {}
    equal: dict[str, str] = {}
    for commit in commits:
        kernel = kernels.get(commit.name)
        if kernel:
            known = first.setdefault(kernel, equal.get(commit.content, commit.content))
            equal.setdefault(commit.content, known)
    return [replace(one, content=equal.get(one.content, one.content)) for one in commits]


def tallies(
    observations: Iterable[RevisionTest], target: Target, contents: Mapping[str, str]
) -> dict[str, Tally]:
    """Return the tallies by content; revisions with equal content share one.

    Args:
        observations: all tests.
        target: the failures that count.
        contents: contents by revision; tests of other revisions are ignored.
    """
    found: dict[str, Tally] = {}
    for one in observations:
        content = contents.get(one.commit)
        if content is None:
            continue
        before = found.get(content, Tally())
        if one.kind is Kind.UNBUILDABLE:
            found[content] = replace(before, builds=False)
            continue
        match target.mark(one):
            case Mark.GOOD:
                found[content] = replace(before, good=before.good + 1)
            case Mark.BAD:
                found[content] = replace(before, bad=before.bad + 1)
            case Mark.SKIP:
                found[content] = replace(before, other=before.other + 1)
            case Mark.INFRA:
                pass
    return found


def target_of(
    observations: Sequence[RevisionTest],
    passing: Collection[str],
    failing: Collection[str],
    *,
    title: str | None,
    any_failure: bool,
    also: frozenset[str] = frozenset(),
) -> Target:
    """Return the failures that count, from the tests of the ends.

    Args:
        observations: all tests.
        passing: the ends that must pass; their reports are ignored everywhere.
        failing: the ends that must fail; their most frequent failure counts.
        title: the title that counts, if the user gave one.
        any_failure: every failure counts that the passing ends do not show.
        also: see ``Target``.
    """
    if title is not None:
        return Target(title)
    own = frozenset(title for one in observations if one.commit in passing for title in one.titles)
    if any_failure:
        return Target(None, own)
    strange = Counter(
        title
        for one in observations
        if one.commit in failing
        for title in one.titles
        if title not in own
    )
    # Of equally frequent ones, the first.
    return Target(max(strange, key=lambda title: strange[title], default=None), own, also)
