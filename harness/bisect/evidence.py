"""What tests have shown, counted: one tally for each kernel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.bisect.graph import Commit


class Kind(StrEnum):
    """What one test of one revision came to, before it is known what counts."""

    PASSED = "passed"
    """it reached its goal; ``titles`` may hold reports that it survived"""
    FAILED = "failed"
    """it died; ``titles`` say of what"""
    UNBUILDABLE = "does not build"
    SKIPPED = "skipped"
    """the user's own command would not judge it"""
    INFRA = "host failed"


class Mark(StrEnum):
    """What a test says of a revision; git-bisect(1) has the same words."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"
    INFRA = "infra"


@dataclass(frozen=True, slots=True)
class RevisionTest:
    """One test of one revision.

    Args:
        commit: the revision's hash.
        kind: what it came to.
        titles: all failures that it told, the first being what it died of; fit for comparing.
        outcome: in a word, for people.
        build_seconds: 0 for a kernel that was there.
        seconds: of the test alone.
        cell: the test's directory in the run's; empty without one.
        error: the host's or the compiler's words.
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
        good: without the failure that is looked for.
        bad: with it.
        other: that say nothing: it died of something else, or was skipped.
        builds: whether it can be built.
        skipped: the user says that it is not to be tested.
    """

    good: int = 0
    bad: int = 0
    other: int = 0
    builds: bool = True
    skipped: bool = False

    @property
    def testable(self) -> bool:
        """Whether a test of it is possible and wanted."""
        return self.builds and not self.skipped

    @property
    def tests(self) -> int:
        """How often it was tested."""
        return self.good + self.bad + self.other


@dataclass(frozen=True, slots=True)
class Target:
    """Which failures count.

    Args:
        title: part of the title that counts; None for all that are not the tree's own.
        own: titles that the good end shows as well: the tree's own.
        also: titles that count besides, whatever the bad end died of.
    """

    title: str | None = None
    own: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()

    def matches(self, observation: RevisionTest) -> bool:
        """Whether the test shows the failure that is looked for."""
        if observation.kind not in (Kind.PASSED, Kind.FAILED):
            return False
        if observation.kind is Kind.FAILED and not observation.titles:
            return True  # somebody says so, by a log of theirs
        if self.title is None:
            return any(title not in self.own for title in observation.titles)
        if any(title in self.also - self.own for title in observation.titles):
            return True
        return any(self.title in title for title in observation.titles)

    def mark(self, observation: RevisionTest) -> Mark:
        """What the test says.

        One that reached its goal is good, whatever else it reported on the way; one that died of
        something else never came to where the failure would have shown.
        """
        if observation.kind is Kind.INFRA:
            return Mark.INFRA
        if self.matches(observation):
            return Mark.BAD
        return Mark.GOOD if observation.kind is Kind.PASSED else Mark.SKIP


def with_equal_kernels(commits: Sequence[Commit], kernels: Mapping[str, str]) -> list[Commit]:
    """The same revisions, contents that made the same kernel taken for one.

    Args:
        commits: the revisions.
        kernels: a digest of each kernel that was built, by revision.
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
    """The tallies by content; revisions of one content share theirs.

    Args:
        observations: all tests.
        target: what counts.
        contents: by revision; tests of others are left out.
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
    """What counts as the failure, from what the ends died of.

    Args:
        observations: all tests.
        passing: the ends that must pass; what they report is the tree's own.
        failing: the ends that must fail; what most of their tests show is what counts.
        title: the user says what counts.
        any_failure: every failure counts that is not the tree's own.
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
    # Of those seen as often, the one that was seen first.
    return Target(max(strange, key=lambda title: strange[title], default=None), own, also)
