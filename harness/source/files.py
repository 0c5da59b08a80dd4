"""The files of a user's tree, with uncommitted changes, as git objects."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.errors import InfraError
from harness.host.seal import seal_file
from harness.source.git import Repository, forget_lock, is_damage, pairs
from harness.source.treeparts import BUILT, BUILT_PATHSPECS, NEW_FILE_PATHSPECS, Content, Entry

#: For a submodule, git would start another git, which reads the submodule's configuration.
_CHANGED = ("diff-files", "--ignore-submodules=all", "-z")
_UNKNOWN = ("ls-files", "--others", "--exclude-standard", "-z", "--")


def clone_content(repository: Repository, files: Path, index: Path) -> tuple[Content, bool]:
    """Return the files of a clone, and whether they differ from HEAD.

    A copy of the user's index shows which files are unchanged, and which are outside of a sparse
    checkout.

    Args:
        repository: the clone's repository.
        files: its work tree.
        index: path of a temporary index, which is replaced.
    """
    own = repository.place / "index"
    forget_lock(index)
    if own.is_file():
        # With its modification time, by which git detects files written at the same time.
        shutil.copy2(own, index)
    else:
        index.unlink(missing_ok=True)
        repository.git("read-tree", "HEAD", index=index)

    def lines(words: Sequence[str]) -> list[str]:
        return repository.lines(*words, index=index, work_tree=files)

    with ThreadPoolExecutor(3) as pool:
        changed = pool.submit(lines, _CHANGED)
        # The index contains every file of a clone; only some untracked files can matter.
        new = pool.submit(lines, (*_UNKNOWN, *NEW_FILE_PATHSPECS))
        tree = pool.submit(_tree_of, repository, files, index)
    differing = [
        *pairs(changed.result()),
        *((Entry.absent(path), Entry.absent(path)) for path in new.result()),
    ]
    if tree.result() is None:
        _add(repository, files, index, (before.path for before, _ in differing))
    content = Content(tree.result() or repository.write_index(index))
    on_top = _read(repository, files, index.with_name("changed.index"), differing)
    return content.but(after for _, after in on_top), _is_dirty(repository, content.tree, on_top)


def directory_tree(repository: Repository, files: Path, index: Path) -> str:
    """Return the tree of a plain directory's files.

    Args:
        repository: a repository of the harness.
        files: the directory.
        index: path of an index, which is kept for the next call.
    """
    forget_lock(index)
    try:
        return _updated(repository, files, index)
    except InfraError as error:
        if not is_damage(error):
            raise
        index.unlink()
        return _updated(repository, files, index)


def _updated(repository: Repository, files: Path, index: Path) -> str:
    commands = ((*_CHANGED, "--name-only"), *((*_UNKNOWN, *one) for one in BUILT_PATHSPECS))
    paths = [
        path
        for words in commands
        for path in repository.lines(*words, index=index, work_tree=files)
    ]
    _add(repository, files, index, paths)
    return repository.write_index(index)


def _tree_of(repository: Repository, files: Path, index: Path) -> str | None:
    """Return the tree of an index; None during a merge, when there is none."""
    try:
        return repository.derived.kept(
            "index",
            (seal_file(index, index.name).sha256,),
            lambda: repository.write_index(index, files),
        )
    except InfraError as error:
        if is_damage(error):
            raise
        return None


def _add(repository: Repository, files: Path, index: Path, paths: Iterable[str]) -> None:
    """Update an index from files, and remove missing files from it."""
    stdin = "".join(f"{path}\0" for path in paths).encode("utf-8", "surrogateescape")
    words = ("update-index", "--add", "--remove", "-z", "--stdin")
    repository.git(*words, index=index, work_tree=files, stdin=stdin)


def _read(
    repository: Repository, files: Path, index: Path, differing: Sequence[tuple[Entry, Entry]]
) -> list[tuple[Entry, Entry]]:
    """Return the files whose content differs; git lists files with another timestamp, too."""
    index.unlink(missing_ok=True)
    forget_lock(index)
    found = {}
    removed = {
        after.path for before, after in differing if after.is_absent and not before.is_absent
    }
    paths = [before.path for before, _ in differing if before.path not in removed]
    if paths:
        _add(repository, files, index, paths)
        found = {entry.path: entry for entry in repository.index_files(index)}
    read = [(before, found.get(before.path, after)) for before, after in differing]
    return [(before, after) for before, after in read if before != after]


def _is_dirty(repository: Repository, tree: str, on_top: Sequence[tuple[Entry, Entry]]) -> bool:
    """Return whether a file that is built differs from HEAD, except those that the clone lacks."""
    differing = {
        before.path: (before, after) for before, after in repository.differences("HEAD", tree)
    }
    for before, after in on_top:
        committed, _ = differing.get(before.path, (before, after))
        differing[before.path] = (committed, after)
    changed = [
        (before, after)
        for before, after in differing.values()
        if before != after and BUILT.holds(before.path)
    ]
    if not all(after.is_absent for _, after in changed):
        return True
    names = {before.name for before, _ in changed}
    return bool(names) and repository.missing(names) != names
