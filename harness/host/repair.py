"""Removes what harnesses that were killed have left behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import psutil

from harness.host.cachesize import remove
from harness.host.inuse import claimed
from harness.host.sockets import sweep_sockets

if TYPE_CHECKING:
    from harness.host.workspace import Workspace


def sweep(workspace: Workspace) -> list[str]:
    """Remove leftovers and say which, one sentence each.

    Locks need no sweeping: the system drops them with the process that held them, and
    the empty files say nothing.
    """
    return [
        *_sweep_scratch(workspace),
        *sweep_sockets(workspace),
        *_sweep_half_filled(workspace),
        *_sweep_temporaries(workspace),
    ]


def _sweep_scratch(workspace: Workspace) -> Iterator[str]:
    parent = workspace.cache / "scratch"
    before = {path for path in parent.glob("*") if path.is_dir()}
    with workspace.scratch("sweep"):  # sweeps what has no owner, as each use of it does
        pass
    for folder in sorted(before):
        if not folder.exists():
            yield f"removed the scratch folder {folder}"


def _sweep_half_filled(workspace: Workspace) -> Iterator[str]:
    """What was being stored in the cache, or removed from it, by processes that are gone."""
    for kind in ("kernels", "images", "trees"):
        for path in sorted((workspace.cache / kind).glob(".*")):
            with claimed(path) as free:
                if not free:
                    yield f"left {path}, which another process is working on"
                else:
                    remove(path)
                    yield f"removed {path}, which a killed process left unfinished"


def _sweep_temporaries(workspace: Workspace) -> Iterator[str]:
    """Files that were being written (see ``write_atomic``) by processes that are gone."""
    places = (workspace.cache, workspace.state)
    for pattern in (".*.tmp", "*/.*.tmp", "*/*/.*.tmp"):
        for place in places:
            for path in sorted(place.glob(pattern)):
                owner = path.name.split(".")[-2]
                if owner.isdigit() and not psutil.pid_exists(int(owner)):
                    path.unlink(missing_ok=True)
                    yield f"removed {path}, which process {owner} left unfinished"
