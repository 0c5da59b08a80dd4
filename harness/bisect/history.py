"""git's history between two ends, with the inputs of each revision's kernel.

The inputs are identified by git's hashes: each revision's differences from its first parent, all in
two runs of git.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from harness.arch import GUEST
from harness.bisect.graph import Commit
from harness.errors import UsageError
from harness.source.treeparts import BUILT, KERNEL, LOADER, Part

if TYPE_CHECKING:
    from harness.source.git import Repository

_MODULUS = 1 << 256

#: Files that only compilers read, which list what they read. Other files (tables of files and
#: options, interfaces, scripts, assembly that a script assembles) are read by other programs.
_TOLD_SUFFIXES = frozenset({".c", ".h"})


@dataclass(frozen=True, slots=True)
class Relevance:
    """The files that a kernel is made from.

    Args:
        parts: parts of the tree; a file must be in all of them.
        suffixes: suffixes of the files that count; empty means all.
        read: the sources that compilers read; None if unknown. Sources in ``told`` that are not
            in ``read`` do not count.
        told: the part of the tree whose sources compilers list; None for none.
    """

    parts: tuple[Part, ...] = ()
    suffixes: frozenset[str] = frozenset()
    read: frozenset[str] | None = None
    told: Part | None = None

    def counts(self, path: str, *, added: bool = False) -> bool:
        """Return whether a change of the file can change the kernel.

        Args:
            path: the file's path in the tree.
            added: it is new or removed. A new header can hide another in the search path.
        """
        suffix = PurePosixPath(path).suffix
        if not all(part.holds(path) for part in self.parts):
            return False
        if self.suffixes and suffix not in self.suffixes:
            return False
        if self.read is None or path in self.read or not (self.told and self.told.holds(path)):
            return True
        return suffix not in _TOLD_SUFFIXES or (added and suffix == ".h")


#: The parts of a FreeBSD tree that kernel and loader are made from. Other architectures' sources
#: are checked out, but not read; headers that assembly includes are not listed.
FREEBSD = Relevance(
    parts=(
        BUILT,
        Part(taken=KERNEL.taken | LOADER.taken, left_out=frozenset({"", *GUEST.unread})),
    ),
    told=Part(
        taken=frozenset({"sys"}),
        left_out=frozenset({"", "sys/conf", "sys/tools", "sys/sys", *GUEST.sources}),
    ),
)


@dataclass(frozen=True, slots=True)
class Changed:
    """A file that differs between two revisions; ``old`` and ``new`` are modes and hashes."""

    path: str
    old: str
    new: str

    @property
    def added(self) -> bool:
        """Whether it exists in only one of the two."""
        return not (self.old and self.new)


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision in git, with its differences from ``base``."""

    name: str
    parents: tuple[str, ...]
    subject: str
    base: str | None
    changes: tuple[Changed, ...]


@dataclass(frozen=True, slots=True)
class History:
    """The revisions between two ends, parents before children.

    Args:
        revisions: the old side's first.
        old_side: names of the revisions that are not candidates.
    """

    revisions: tuple[Revision, ...]
    old_side: frozenset[str]

    def commits(self, relevance: Relevance) -> list[Commit]:
        """Return each revision with a hash of its relevant files, for ``graph.reduced``.

        The hashes are of the differences from the first revision: equal hashes mean equal files.
        """
        sums: dict[str | None, int] = {None: 0}
        found = []
        for revision in self.revisions:
            total = sums[revision.base]
            for change in revision.changes:
                if relevance.counts(change.path, added=change.added):
                    total += _hash(change.path, change.new) - _hash(change.path, change.old)
            sums[revision.name] = total % _MODULUS
            content = f"{sums[revision.name]:064x}"[:40]
            found.append(Commit(revision.name, revision.parents, content, revision.subject))
        return found


def with_side_revision(
    history: History, repository: Repository, name: str, base: str, subject: str
) -> History:
    """Return the history with one more revision, made from ``base``, not a candidate."""
    changes = _differences(repository, {name: base}).get(name, ())
    revision = Revision(name, (), subject, base, changes)
    return replace(
        history,
        revisions=(*history.revisions, revision),
        old_side=history.old_side | {name},
    )


def _hash(path: str, meta: str) -> int:
    """Return a hash of a file's name and content; sums of these identify sets. 0: no file."""
    if not meta:
        return 0
    return int.from_bytes(hashlib.sha256(f"{meta} {path}".encode("utf-8", "replace")).digest())


def read_history(
    repository: Repository, new: str, old: Sequence[str], *, first_parent: bool = False
) -> History:
    """Return the history from ``old`` (see ``bases_of``) to ``new``, all full hashes.

    Args:
        repository: contains them.
        new: the end that has all the changes.
        old: revisions that, like their ancestors, are not candidates.
        first_parent: treat a merge as one change.

    Raises:
        UsageError: nothing is between them.
        InfraError: git failed.
    """
    rows = _log(repository, new, old, first_parent=first_parent)
    names = {name for name, _, _, _ in rows}
    between = [row for row in rows if not row[3]]
    if not between:
        raise UsageError(
            f"{new[:12]} has no revision that {old[0][:12]} lacks",
            remedy="name two revisions of which one has the other among its ancestors, "
            "the failing one with --bad",
        )
    # git marks the other parents of merges as boundaries too, on either side.
    beside = {*old, *(parent for row in between for parent in row[1])}
    edge = [row for row in rows if row[3] and row[0] in beside]
    edge += [(name, (), "", True) for name in old if name not in names]
    first = edge[0][0] if edge else between[0][0]
    bases = _bases(edge, between, first)
    changes = _differences(repository, bases)
    revisions = tuple(
        Revision(name, parents, subject, bases[name], changes.get(name, ()))
        for name, parents, subject, _ in (*edge, *between)
    )
    return History(revisions, frozenset(row[0] for row in edge))


_Row = tuple[str, tuple[str, ...], str, bool]


def _log(repository: Repository, new: str, old: Sequence[str], *, first_parent: bool) -> list[_Row]:
    rows = []
    chain = ["--first-parent"] if first_parent else []
    for record in repository.lines(
        "log", "-z", "--topo-order", "--reverse", "--boundary", "--no-show-signature", *chain,
        "--format=%m%H %P%n%s%x00", new, "--not", *old, "--",
    ):  # fmt: skip
        if not record.strip("\n"):
            continue
        head, _, subject = record.lstrip("\n").partition("\n")
        name, *parents = head[1:].split()
        parents = parents[:1] if first_parent else parents
        text = subject.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        rows.append((name, tuple(parents), text, head.startswith("-")))
    return rows


def _bases(edge: Sequence[_Row], between: Sequence[_Row], first: str) -> dict[str, str | None]:
    """Return for each revision the one from which its differences are taken."""
    bases: dict[str, str | None] = {row[0]: first for row in edge}
    for name, parents, _, _ in between:
        bases[name] = parents[0] if parents and parents[0] in bases else first
    bases[first] = None
    return bases


def _differences(
    repository: Repository, bases: Mapping[str, str | None]
) -> dict[str, tuple[Changed, ...]]:
    asked = "".join(f"{name} {base}\n" for name, base in bases.items() if base)
    output = repository.git(
        "diff-tree", "--stdin", "-r", "--raw", "-z", "--no-renames", "--no-abbrev",
        stdin=asked.encode(),
    ).stdout  # fmt: skip
    found: dict[str, list[Changed]] = {}
    current: list[Changed] = []
    fields = iter(output.decode("utf-8", "surrogateescape").split("\0"))
    for text in fields:
        if text.startswith(":"):
            old_mode, new_mode, old, new, _ = text[1:].split(" ")
            path = next(fields)
            current.append(Changed(path, _meta(old_mode, old), _meta(new_mode, new)))
        elif text:
            current = found.setdefault(text.strip(), [])
    return {name: tuple(changes) for name, changes in found.items()}


def _meta(mode: str, name: str) -> str:
    """Return mode and hash; empty if there is no file."""
    return f"{mode} {name}" if name.strip("0") else ""


def bases_of(repository: Repository, new: str, old: str) -> tuple[str, ...]:
    """Return the merge bases of the ends: ``old`` itself if it is an ancestor of ``new``.

    Raises:
        UsageError: ``new`` is the ancestor, or they have no common ancestor.
    """
    found = repository.git("merge-base", "--all", new, old, check=False).text.split()
    if not found:
        raise UsageError(
            f"{new[:12]} and {old[:12]} have no revision in common",
            remedy="name two revisions of one history with --good and --bad",
        )
    if new in found:
        raise UsageError(
            f"{new[:12]} is an ancestor of {old[:12]}", remedy="exchange --good and --bad"
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Description:
    """A revision's message and statistics, for reports."""

    name: str
    author: str
    date: str
    message: str
    diffstat: str


def describe(repository: Repository, name: str) -> Description:
    """Return message and diffstat (from the first parent)."""
    text = repository.git(
        "show", "--no-patch", "--no-show-signature", "--format=%an <%ae>%n%aI%n%B", name, "--"
    ).text
    author, date, message = text.split("\n", 2)
    stat = repository.git(
        "diff-tree", "--root", "--no-commit-id", "--stat=100", "-m", "--first-parent", name, "--",
        check=False,
    ).text  # fmt: skip
    return Description(name, author, date, message.strip(), stat.strip("\n"))
