"""Synthetic revisions: paths of one revision in another, and a reverted commit.

They are written into the harness's object store; the user's repository is never changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness.host.process import failure

if TYPE_CHECKING:
    from harness.source.git import Repository

#: Author and committer, with a fixed date, so that equal trees give equal revisions.
_IDENTITY = "harness <harness@localhost> 0 +0000"


def combined(repository: Repository, commit: str, base: str, paths: Sequence[str]) -> str:
    """Return a revision with ``paths`` of ``commit``, and all other files of ``base``.

    Args:
        repository: the repository of both.
        commit: a full hash.
        base: a full hash.
        paths: files and directories, none below another.
    """
    replaced: dict[tuple[str, ...], str | None] = {
        tuple(path.split("/")): _entry(repository, commit, path) for path in paths
    }
    tree = _tree_with(repository, f"{base}^{{tree}}", replaced)
    return _commit(repository, tree, [commit], f"{commit}, with the rest of {base}")


def revert(repository: Repository, commit: str, on: str) -> str | None:
    """Revert the changes of ``commit``, relative to its first parent, in the revision ``on``.

    Returns:
        The hash of the result; None if later changes conflict.

    Raises:
        InfraError: git failed, for example because it is older than 2.38.
    """
    back = _commit(
        repository, _tree(repository, f"{commit}^1"), [commit], f"the parent of {commit}"
    )
    merged = repository.git("merge-tree", "--write-tree", "--no-messages", on, back, check=False)
    if merged.returncode == 1:
        return None
    if merged.returncode != 0:
        raise failure(merged)
    tree = merged.text.split()[0]
    return _commit(repository, tree, [on], f"Revert {commit}")


def _tree(repository: Repository, revision: str) -> str:
    return repository.git("rev-parse", "--verify", f"{revision}^{{tree}}").text.strip()


def _entry(repository: Repository, commit: str, path: str) -> str | None:
    """Return ``mode type hash`` of a path; None if it does not exist."""
    lines = repository.lines("ls-tree", "-z", "--full-tree", commit, "--", path)
    return lines[0].split("\t", 1)[0] if lines else None


def _tree_with(
    repository: Repository, tree: str, replaced: dict[tuple[str, ...], str | None]
) -> str:
    """Return the hash of ``tree`` with the entries ``replaced``."""
    entries = dict(_listing(repository, tree))
    below: dict[str, dict[tuple[str, ...], str | None]] = defaultdict(dict)
    for path, meta in replaced.items():
        if len(path) > 1:
            below[path[0]][path[1:]] = meta
        elif meta is None:
            entries.pop(path[0], None)
        else:
            entries[path[0]] = meta
    for name, rest in below.items():
        if name in entries:
            inner = _tree_with(repository, entries[name].split(" ")[2], rest)
            entries[name] = f"040000 tree {inner}"
    text = "".join(f"{meta}\t{name}\0" for name, meta in entries.items())
    made = repository.git(
        "mktree", "-z", "--missing", stdin=text.encode("utf-8", "surrogateescape")
    )
    return made.text.strip()


def _listing(repository: Repository, tree: str) -> Iterable[tuple[str, str]]:
    for line in repository.lines("ls-tree", "-z", "--full-tree", tree):
        meta, name = line.split("\t", 1)
        yield name, meta


def _commit(repository: Repository, tree: str, parents: Sequence[str], message: str) -> str:
    lines = [
        f"tree {tree}",
        *(f"parent {parent}" for parent in parents),
        f"author {_IDENTITY}",
        f"committer {_IDENTITY}",
        "",
        message,
        "",
    ]
    made = repository.git(
        "hash-object", "-t", "commit", "-w", "--stdin", stdin="\n".join(lines).encode()
    )
    return made.text.strip()
