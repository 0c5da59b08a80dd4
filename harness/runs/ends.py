"""The two ends of a bisection, and the history between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.bisect.evidence import Mark
from harness.bisect.history import History, bases_of, read_history
from harness.bisect.skips import read_skips
from harness.errors import UsageError, given_with

if TYPE_CHECKING:
    from harness.bisect.gitlog import LogEntry
    from harness.runs.bisectrequest import BisectRequest
    from harness.source.git import Repository
    from harness.source.tree import SourceTree


@dataclass(frozen=True, slots=True)
class Ends:
    """The ends of a bisection, with their history.

    Args:
        tree: the tree, whose repository has the history.
        new: the end that has all the changes: the failing one, or with ``--fixed`` the passing one.
        old: the other end, then the merge bases if the ends are on two branches.
        history: the revisions between them.
        skipped: revisions that are not tested.
    """

    tree: SourceTree
    new: str
    old: tuple[str, ...]
    history: History
    skipped: frozenset[str] = frozenset()


def found_ends(request: BisectRequest, tree: SourceTree, entries: Sequence[LogEntry]) -> Ends:
    """Find the ends of a request in the history of its source.

    Args:
        request: names the ends.
        tree: the source's tree.
        entries: a log's entries, whose first verdicts are the ends that the request omits.

    Raises:
        UsageError: an end is missing, nothing is between them, or a line of ``--skip`` is
            invalid.
    """
    repository, fixed = tree.repository, request.fixed
    passing, failing = (
        _commit(repository, mark, _end(mark, given, entries))
        for mark, given in ((Mark.GOOD, request.good), (Mark.BAD, request.bad))
    )
    new, old = (passing, failing) if fixed else (failing, passing)
    if new == old:
        raise UsageError(
            f"--good and --bad are the same revision, {new[:12]}",
            remedy="name two revisions with --good and --bad",
        )
    if repository.git("merge-base", "--is-ancestor", new, old, check=False).returncode == 0:
        wish = "leave --fixed out" if fixed else "add --fixed to find what fixed it"
        raise UsageError(
            f"the {'good' if fixed else 'bad'} revision {new[:12]} is an ancestor of "
            f"the other, {old[:12]}",
            remedy=f"{wish}, or exchange --good and --bad",
        )
    bases = [base for base in bases_of(repository, new, old) if base != old]
    history = read_history(repository, new, (old, *bases), first_parent=request.first_parent)
    skipped = _skipped(repository, request.skip, {new, old, *bases})
    return Ends(tree, new, (old, *bases), history, skipped)


def _skipped(repository: Repository, file: Path | None, ends: set[str]) -> frozenset[str]:
    """Return the revisions in the file; those outside of the history are ignored."""
    if file is None:
        return frozenset()
    with given_with(f"--skip {file}"):
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            cause = getattr(error, "strerror", None) or "it is not text in UTF-8"
            raise UsageError(f"cannot read it: {cause}", remedy="correct --skip") from error
        found = set()
        for number, revision in read_skips(text):
            with given_with(f"line {number}"):
                commit = repository.commit(revision)
            if commit in ends:
                raise UsageError(
                    f"line {number}: {revision} is an end of the bisection, which must be tested",
                    remedy="take the line out, or name another end",
                )
            found.add(commit)
    return frozenset(found)


def _commit(repository: Repository, mark: Mark, revision: str) -> str:
    with given_with(f"--{mark}"):
        return repository.commit(revision)


def _end(mark: Mark, given: str | None, entries: Sequence[LogEntry]) -> str:
    """Return the named end, or the log's; the log's first bad one is the end."""
    named = given or next((one.revision for one in entries if one.mark is mark), None)
    if named is None:
        raise UsageError(
            f"--{mark} is missing: a bisection needs a revision that passes and one that fails",
            remedy="name both ends with --good and --bad",
        )
    return named
