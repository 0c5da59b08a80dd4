"""What whole bisections are tested with: a history, and a tester of a scripted guest."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from histories import Guest

from harness.bisect.evidence import Kind, Mark, RevisionTest, Tally
from harness.bisect.graph import Commit
from harness.bisect.history import Changed, History, Revision
from harness.bisect.search import Outlook
from harness.bisect.tester import Built, Trial
from harness.errors import BuildError, HarnessError
from harness.host.progress import Progress, Recorded

TITLE = "it breaks"


def history_of(commits: Sequence[Commit]) -> History:
    """Each content is one file's."""
    revisions = []
    contents = {commit.name: commit.content for commit in commits}
    for commit in commits:
        base = commit.parents[0] if commit.parents else None
        changes = (Changed("f", contents[base], commit.content),) if base else ()
        revisions.append(Revision(commit.name, commit.parents, commit.name, base, changes))
    return History(tuple(revisions), frozenset({commits[0].name}))


class Killed(BaseException):
    """What SIGKILL does, as far as the state is concerned."""


@dataclass(slots=True)
class FakeTester:
    """Builds and boots a scripted guest.

    Args:
        guest: what a boot does.
        kernels: digests that differ from the revision's name.
        titles: what a revision dies of or reports besides.
        host_fails: how many tests the host spoils, first.
        killed_after: acts after which everything ends.
        fails: why a revision of the guest's broken ones cannot be tested.
    """

    guest: Guest
    kernels: dict[str, str] = field(default_factory=dict)
    titles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    host_fails: int = 0
    killed_after: int = -1
    reads: frozenset[str] | None = None
    built: list[str] = field(default_factory=list)
    tested: list[str] = field(default_factory=list)
    closed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    fails: type[HarnessError] = BuildError

    def build(self, commit: str, progress: Progress) -> Built:
        with self.lock:
            self.built.append(commit)
        if commit in self.guest.broken:
            raise self.fails(f"{commit} does not build")
        return Built(self.kernels.get(commit, commit), 20.0, self.reads)

    def test(self, commit: str, cell: str, progress: Progress) -> Trial:
        if self.killed_after == 0:
            raise Killed
        self.killed_after -= 1
        if self.host_fails:
            self.host_fails -= 1
            return Trial(Kind.INFRA, error="no memory")
        self.tested.append(commit)
        tally = self.guest.boot(commit, Tally())
        more = self.titles.get(commit, ())
        if tally.other:
            return Trial(Kind.FAILED, ("something else",), "panic", 10.0)
        if tally.bad:
            return Trial(Kind.FAILED, (TITLE, *more), "panic", 6.0)
        return Trial(Kind.PASSED, more, "booted", 12.0)

    def close(self) -> None:
        self.closed = True


class Silent:
    """Shows nothing, and remembers what it was told."""

    def __init__(self) -> None:
        self.marks: list[tuple[str, Mark]] = []
        self.problems: list[str] = []

    def building(self, commit: str) -> Progress:
        return Recorded()

    def built(self, commit: str, problem: str) -> None:
        if problem:
            self.problems.append(problem)

    def testing(self, commit: str, cell: str) -> Progress:
        return Recorded()

    def tested(self, one: RevisionTest, mark: Mark) -> None:
        self.marks.append((one.commit, mark))

    def ahead(self, outlook: Outlook, seconds: float) -> None:
        assert outlook.tests > 0
        assert seconds > 0
