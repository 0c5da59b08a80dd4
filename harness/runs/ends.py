"""The two ends of a bisection, and the history between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.bisect.evidence import Mark
from harness.bisect.history import History, bases_of, read_history
from harness.bisect.search import Question
from harness.errors import UsageError, given_with

if TYPE_CHECKING:
    from harness.bisect.gitlog import LogEntry
    from harness.runs.environment import Environment
    from harness.source.git import Repository
    from harness.source.tree import SourceTree
    from harness.source.what import What


@dataclass(frozen=True, slots=True)
class Ends:
    """Where a revision is looked for.

    Args:
        tree: its repository has the history.
        question: the ends by their hashes.
        history: the revisions between them.
    """

    tree: SourceTree
    question: Question
    history: History


def found_ends(
    env: Environment,
    what: What,
    good: str | None,
    bad: str | None,
    entries: Sequence[LogEntry],
    *,
    fixed: bool,
    confidence: float,
    repeat: int,
) -> Ends:
    """Find the ends in the history of the source.

    Args:
        env: the host.
        what: the source.
        good: names the revision that passes; None: the first good one of the log.
        bad: names the revision that fails; None: the first bad one of the log.
        entries: of a log.
        fixed: see ``Question``.
        confidence: see ``Question``.
        repeat: see ``Question``.

    Raises:
        UsageError: there is no history, an end is missing, or there is nothing between them.
    """
    tree = env.kernels().provider(what).history(what)
    repository = tree.repository
    passing, failing = (
        _commit(repository, mark, _end(mark, given, entries))
        for mark, given in ((Mark.GOOD, good), (Mark.BAD, bad))
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
    history = read_history(repository, new, (old, *bases))
    return Ends(tree, Question(new, (old, *bases), fixed, confidence, repeat), history)


def _commit(repository: Repository, mark: Mark, revision: str) -> str:
    with given_with(f"--{mark}"):
        return repository.commit(revision)


def _end(mark: Mark, given: str | None, entries: Sequence[LogEntry]) -> str:
    """The end that was named, or the log's: the first bad one is where it began."""
    named = given or next((one.revision for one in entries if one.mark is mark), None)
    if named is None:
        raise UsageError(
            f"--{mark} is missing: a bisection needs a revision that passes and one that fails",
            remedy="name both ends with --good and --bad",
        )
    return named
