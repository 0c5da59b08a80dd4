"""Which form of the allocator a tree has, read from the tree itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.source.forms import SlabForm, slab_form
from harness.source.mutants_domainset import DOMAINSET
from harness.source.mutants_uma_core import UMA_CORE
from harness.source.tree import locked, open_tree

if TYPE_CHECKING:
    from harness.host.process import Runner
    from harness.host.workspace import Workspace
    from harness.source.change import Change
    from harness.source.revision import Snapshot


def read_form(
    location: str,
    change: Change,
    workspace: Workspace,
    runner: Runner,
    waiting: Callable[[str], None],
) -> tuple[Snapshot, SlabForm]:
    """A tree's content, and the form of its slab code.

    Args:
        location: a folder or git URL.
        change: which revision, and what is changed on top.
        workspace: for the tree's snapshots.
        runner: starts git.
        waiting: told who holds the tree, if somebody does.

    Raises:
        UsageError: no such tree or revision, or a form that the model does not know.
        InfraError: a clone failed for the host's or the network's reasons.
    """
    tree = open_tree(location, workspace, runner)
    with locked(tree, workspace, waiting):
        snapshot = tree.snapshot(change)
        uma_core, domainset = (
            tree.repository.git("cat-file", "blob", f"{snapshot.tree}:{path}").stdout
            for path in (UMA_CORE, DOMAINSET)
        )
    return snapshot, slab_form(uma_core, domainset)
