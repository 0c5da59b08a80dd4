"""The locks of a tree in the cache."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness.source.git import DamagedObjectsError

if TYPE_CHECKING:
    from harness.host.workspace import Lock, Workspace
    from harness.source.tree import SourceTree

T = TypeVar("T")


@contextlib.contextmanager
def locked(tree: SourceTree, workspace: Workspace, waiting: Callable[[str], None]) -> Iterator[int]:
    """Hold the tree's lock for a build; yield its descriptor, for children that must hold it.

    A build takes minutes. Commands that only read the tree hold ``being_read``, and do not wait.
    """
    with workspace.lock(f"tree-{tree.home.name}", waiting) as lock:
        yield lock.fd


def being_read(
    tree: SourceTree, workspace: Workspace, waiting: Callable[[str], None]
) -> contextlib.AbstractContextManager[Lock]:
    """Hold the lock of the indexes and objects in the tree's directory, which ``snapshot`` writes.

    To hold both locks, acquire that of ``locked`` first.
    """
    return workspace.lock(read_lock(tree.home), waiting)


def read_lock(home: Path) -> str:
    """Return the name of the lock of ``being_read``, for a tree's directory in the cache."""
    return f"read-{home.name}"


def healed(
    tree: SourceTree, workspace: Workspace, note: Callable[[str], None], work: Callable[[], T]
) -> T:
    """Call ``work``; if git objects are damaged, restore those of the cache, and call it again.

    Args:
        tree: the tree whose objects are used; the caller must hold neither of its locks.
        workspace: the workspace of the locks.
        note: called with a message about the damage.
        work: a function that can be called twice.

    Raises:
        DamagedObjectsError: objects are still damaged: those of the user's repository.
    """
    try:
        return work()
    except DamagedObjectsError as damage:
        note(f"{damage.message}; restoring the objects in the cache")
    with locked(tree, workspace, lambda _: None), being_read(tree, workspace, lambda _: None):
        tree.heal()
    return work()
