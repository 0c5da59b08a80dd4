"""Files whose content a clone does not have: some mirrors drop large ones.

What the kernel needs of them the build will name; the rest must not stop the checkout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import InfraError
from harness.host.documents import read_object
from harness.host.workspace import write_atomic

if TYPE_CHECKING:
    from harness.source.git import Repository

#: Beyond as many changed files, the tree that they are compared with is put anew.
_MANY = 500


def lacking(repository: Repository, tree: str, memory: Path) -> tuple[str, ...]:
    """The paths of a tree's files whose objects are missing.

    Every object is asked for once. Afterwards only those are that differ from the tree of
    that time, and those that were missing: git keeps what a revision in use refers to.

    Args:
        repository: a partial clone lacks nothing, since it fetches what it has not.
        tree: the tree.
        memory: a file of ours; that of another tree, or damaged, is as good as none.
    """
    with ThreadPoolExecutor(1) as beside:
        looked_up = beside.submit(_suspects, repository, tree, memory)
        if repository.is_partial:
            return ()
        suspects = looked_up.result()
    anew = suspects is None or len(suspects) > _MANY
    if suspects is None:
        suspects = {entry.path: entry.name for entry in repository.files(tree)}
    missing = repository.missing(set(suspects.values()))
    found = {path: name for path, name in suspects.items() if name in missing}
    if anew:
        write_atomic(memory, json.dumps({"tree": tree, "lacking": found}))
    return tuple(found)


def _suspects(repository: Repository, tree: str, memory: Path) -> Mapping[str, str] | None:
    """The objects to ask for, by path; None for all."""
    try:
        known = read_object(memory)
        suspects = {str(path): str(name) for path, name in known["lacking"].items()}
        changed = repository.differences(str(known["tree"]), tree)
    except (OSError, ValueError, KeyError, AttributeError, InfraError):
        return None
    for _, after in changed:
        suspects.pop(after.path, None)
        if not after.is_absent:
            suspects[after.path] = after.name
    return suspects
