"""Opens the source tree at a directory or git URL."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.host.workspace import Lock, Workspace, make_directory
from harness.source.clone import clone_once, cloned
from harness.source.codefacts import NOTHING, CodeReaders
from harness.source.git import Repository
from harness.source.gitdir import find_repository, refuse_foreign
from harness.source.location import is_url
from harness.source.revision import NEWVERS, not_freebsd
from harness.source.tree import SourceTree
from harness.source.treelocks import read_lock

if TYPE_CHECKING:
    from harness.host.process import Runner


def open_tree(
    location: str,
    workspace: Workspace,
    runner: Runner,
    trusted: Sequence[Path] = (),
    knowledge: CodeReaders = NOTHING,
) -> SourceTree:
    """Return the tree at a directory or git URL.

    Args:
        location: the directory or URL.
        workspace: the workspace, whose cache gets a directory for the tree.
        runner: starts git.
        trusted: directories that are accepted from any owner.
        knowledge: readers and named changes of its code.

    Raises:
        UsageError: there is no such directory or repository, or it belongs to another user.
        InfraError: cloning failed because of the host or the network.
    """
    if is_url(location):
        return _open_url(location, workspace, runner, knowledge)
    directory = Path(location).expanduser()
    if not directory.is_dir():
        raise UsageError(
            f"the source tree {location} is not a directory",
            remedy="name a FreeBSD source tree or a git URL: --source TREE",
        )
    directory = directory.resolve()
    source = find_repository(directory)
    if source is not None:
        refuse_foreign(source, trusted)
    elif not (directory / NEWVERS).is_file():
        raise not_freebsd(location, f"it has no {NEWVERS}")
    home = _home(str(directory), workspace)
    with _git_lock(home, workspace):
        repository = Repository.opened(home / "git", source, runner)
    return SourceTree(location, directory, repository, home, source is not None, knowledge)


def _open_url(url: str, workspace: Workspace, runner: Runner, knowledge: CodeReaders) -> SourceTree:
    home = _home(url, workspace)
    with workspace.lock(read_lock(home)):
        clone_once(url, home, runner)
    with _git_lock(home, workspace):
        repository = Repository.opened(home / "git", find_repository(cloned(home)), runner)
    return SourceTree(url, None, repository, home, True, knowledge)


def _git_lock(home: Path, workspace: Workspace) -> contextlib.AbstractContextManager[Lock]:
    """Hold the lock of the git directory, briefly; a tree is opened while others build from it."""
    return workspace.lock(f"git-{home.name}")


def _home(identity: str, workspace: Workspace) -> Path:
    home = workspace.cache / "trees" / hashlib.sha256(identity.encode()).hexdigest()[:12]
    make_directory(home)
    return home
