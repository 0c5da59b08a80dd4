"""Files whose objects a clone lacks: some mirrors omit large ones.

They are left out of the checkout. If the kernel needs one, the build reports it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import InfraError
from harness.host.jsontoml import read_object
from harness.host.workspace import write_atomic

if TYPE_CHECKING:
    from harness.source.git import Repository

#: With more changed files than this, the cache file is written again.
_MANY = 500


def lacking(repository: Repository, tree: str, memory: Path) -> tuple[str, ...]:
    """Return the paths of a tree's files whose objects are missing.

    The first call checks all objects. Later calls check those that differ from that tree, and those
    that were missing: git does not remove objects that a revision in use refers to.

    Args:
        repository: a partial clone lacks no objects, since it fetches them.
        tree: the tree.
        memory: cache file; ignored if corrupt or from another tree.
    """
    with ThreadPoolExecutor(1) as beside:
        looked_up = beside.submit(_suspects, repository, tree, memory)
        if repository.is_partial:
            return ()
        suspects = looked_up.result()
    update = suspects is None or len(suspects) > _MANY
    if suspects is None:
        suspects = {entry.path: entry.name for entry in repository.files(tree)}
    missing = repository.missing(set(suspects.values()))
    found = {path: name for path, name in suspects.items() if name in missing}
    if update:
        write_atomic(memory, json.dumps({"tree": tree, "lacking": found}))
    return tuple(found)


def _suspects(repository: Repository, tree: str, memory: Path) -> Mapping[str, str] | None:
    """Return the objects to check, by path; None for all."""
    try:
        known = read_object(memory)
        suspects = {str(path): str(name) for path, name in known["lacking"].items()}
        same = known["tree"] == tree
        changed = () if same else repository.differences(str(known["tree"]), tree)
    except (OSError, ValueError, KeyError, AttributeError, InfraError):
        return None
    for _, after in changed:
        suspects.pop(after.path, None)
        if not after.is_absent:
            suspects[after.path] = after.name
    return suspects
