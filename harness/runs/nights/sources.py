"""The branches of a nightly plan: fetched, with their new revisions in the order of tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.errors import InfraError, UsageError, given_with
from harness.host.progress import Recorded
from harness.nightly.night import BranchNight, RevisionNight
from harness.nightly.schedule import schedule
from harness.provide.sources import NAMED_SOURCES
from harness.sanitizers import NONE
from harness.source.clone import fetch
from harness.source.firstparents import BranchCommit, first_parents, has_commit, is_ancestor
from harness.source.location import is_url
from harness.source.request import KernelRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.history.nights import NightReader
    from harness.nightly.cells import PlannedBranch
    from harness.runs.environment import Environment
    from harness.runs.view import View
    from harness.source.tree import SourceTree


@dataclass(frozen=True, slots=True)
class NightSources:
    """The trees of a plan.

    Args:
        env: the host.
        view: shows waits for a tree.
    """

    env: Environment
    view: View
    _trees: dict[str, SourceTree | None] = field(default_factory=dict)

    def tree(self, source: str) -> SourceTree | None:
        """Return a source's tree; None if the source has no history.

        Raises:
            UsageError: there is no such tree.
            InfraError: it cannot be cloned.
        """
        if source not in self._trees:
            self._trees[source] = self._opened(source)
        return self._trees[source]

    def _opened(self, source: str) -> SourceTree | None:
        what = KernelRequest(source)
        provider = self.env.kernels(self.view.note).provider(what)
        try:
            return provider.history(what)
        except UsageError:
            if source in NAMED_SOURCES:
                return None
            raise

    def commit(self, source: str, name: str) -> BranchCommit:
        """Return a revision of a source; of one without a history, only its name."""
        tree = self.tree(source)
        if tree is None:
            return BranchCommit(name, "", "", "", None)
        return first_parents(tree.repository, name, None)[0]

    def between(self, source: str, base: str, tip: str) -> tuple[str, ...]:
        """Return the revisions after ``base`` up to ``tip``; none if it does not lead there."""
        tree = self.tree(source)
        if tree is None or not is_ancestor(tree.repository, base, tip):
            return ()
        return tuple(each.name for each in first_parents(tree.repository, tip, base))

    def fetch(self, source: str) -> str:
        """Fetch a URL's branches into its clone; return the host's failure, or empty.

        A directory's branches are taken as they are: nothing is fetched into the user's repository.
        """
        if not is_url(source):
            return ""
        try:
            tree = self.tree(source)
            if tree is not None:
                fetch(tree.home, self.env.runner)
        except InfraError as error:
            return str(error)
        return ""

    def night(
        self, branches: Sequence[PlannedBranch], reader: NightReader, since: str | None
    ) -> tuple[tuple[BranchNight, ...], tuple[RevisionNight, ...], tuple[str, ...]]:
        """Return all branches with their revisions since the last judged tips, and notes.

        Args:
            branches: the plan's branches.
            reader: the history.
            since: a revision to begin after, in place of the last judged tips.

        Raises:
            UsageError: a tree or a branch that was never judged, or ``since``, does not exist.
        """
        failed = {source: self.fetch(source) for source in {each.source for each in branches}}
        found, revisions, notes = [], [], []
        for branch in branches:
            with given_with(f"branch {branch.name}"):
                night, own = self._branch(branch, failed[branch.source], reader, since)
            if night.rewritten:
                notes.append(
                    f"{branch.name} was rewritten: {night.base[:12]}, its last judged tip, is no "
                    "longer a part of it"
                )
            found.append(night)
            revisions += own
        return tuple(found), tuple(revisions), tuple(notes)

    def _branch(
        self, branch: PlannedBranch, problem: str, reader: NightReader, since: str | None
    ) -> tuple[BranchNight, list[RevisionNight]]:
        known = reader.judged_tip(branch.name)
        base = known[1] if known else ""
        try:
            tree = self.tree(branch.source)
            tip = "" if tree is None else tree.repository.commit(_name_in_git(branch))
        except InfraError as error:  # a clone that was never made
            return BranchNight(branch.name, branch.source, "", base, problem=str(error)), []
        except UsageError as error:
            if known is None:
                raise
            # The night goes on with the other branches: one that was judged is not misspelt.
            return BranchNight(branch.name, branch.source, "", base, problem=error.message), []
        if tree is None:
            tip = self._made(branch)
            night = BranchNight(branch.name, branch.source, tip, base, problem=problem)
            parent = base if base != tip else ""
            return night, [RevisionNight(branch.name, tip, parent, 1, 0)]
        repository = tree.repository
        if since is not None:
            base = repository.commit(since)
        rewritten = bool(base) and not is_ancestor(repository, base, tip)
        exists = bool(base) and has_commit(repository, base)
        found = first_parents(repository, tip, base if exists else None)
        if not found:  # nothing is new, and the tip is tested again
            found = first_parents(repository, tip, None)
        night = BranchNight(branch.name, branch.source, tip, base, rewritten, problem)
        return night, ranked(branch.name, found)

    def _made(self, branch: PlannedBranch) -> str:
        """Return what identifies the only kernel of a source without a history."""
        what = KernelRequest(branch.source)
        kernel = self.env.kernels(self.view.note).provide(what, NONE, Recorded())
        return kernel.identity.tree


def _name_in_git(branch: PlannedBranch) -> str:
    if not is_url(branch.source) or branch.revision == "HEAD":
        return branch.revision
    return f"refs/remotes/origin/{branch.revision}"


def ranked(branch: str, found: Sequence[BranchCommit]) -> list[RevisionNight]:
    """Return the revisions of a branch with their places and their order of tests."""
    ranks = {place: rank for rank, place in enumerate(schedule(len(found)))}
    return [
        RevisionNight(
            branch, each.name, each.parent, place, ranks[place], each.subject, each.author,
            each.date,
        )
        for place, each in enumerate(found, start=1)
    ]  # fmt: skip
