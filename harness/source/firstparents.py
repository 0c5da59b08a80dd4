"""The revisions of a branch along first parents, which is how the branch itself moved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from harness.source.git import Repository

_FORMAT: Final = "%H%x01%P%x01%aI%x01%an <%ae>%x01%s"


@dataclass(frozen=True, slots=True)
class BranchCommit:
    """A revision of a branch.

    Args:
        name: its hash.
        parent: its first parent; empty if it has none.
        subject: the first line of its message.
        author: the author's name and mail address.
        date: the author's date; None if git cannot read it.
    """

    name: str
    parent: str
    subject: str
    author: str
    date: datetime | None


def first_parents(
    repository: Repository, tip: str, base: str | None, most: int = 10_000
) -> tuple[BranchCommit, ...]:
    """Return the revisions from ``base``, which is left out, to ``tip``, the oldest first.

    Args:
        repository: contains them.
        tip: a full hash.
        base: a full hash; None: only the tip is returned.
        most: the most revisions; older ones are left out.

    Raises:
        UsageError: git does not know a revision.
    """
    count = most if base else 1
    options = ("--first-parent", f"--max-count={count}", f"--format=tformat:{_FORMAT}", "-z")
    ends = (tip, f"^{base}") if base else (tip,)
    found = [_commit(record) for record in repository.lines("log", *options, *ends, "--")]
    return tuple(reversed(found))


def has_commit(repository: Repository, name: str) -> bool:
    """Return whether the repository still has a commit."""
    return repository.git("cat-file", "-e", f"{name}^{{commit}}", check=False).returncode == 0


def is_ancestor(repository: Repository, old: str, new: str) -> bool:
    """Return whether a revision is reachable from another, or the same; not if it is unknown."""
    arguments = ("merge-base", "--is-ancestor", old, new)
    return repository.git(*arguments, check=False).returncode == 0


def _commit(record: str) -> BranchCommit:
    name, parents, date, author, subject = record.split("\1", 4)
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        moment = None
    return BranchCommit(name, parents.partition(" ")[0], subject, author, moment)
