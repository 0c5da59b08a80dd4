"""Removal of the leftovers of killed harnesses."""

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
    """Remove leftovers, and return a line for each.

    Locks are not removed: the kernel releases them when their process ends.
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
    with workspace.scratch("sweep"):  # removes directories without an owner
        pass
    for directory in sorted(before):
        if not directory.exists():
            yield f"removed scratch directory {directory}"


def _sweep_half_filled(workspace: Workspace) -> Iterator[str]:
    """Remove entries of the cache that were being stored or removed by killed processes."""
    for kind in ("kernels", "images", "snapshots", "trees", "worlds"):
        for path in sorted((workspace.cache / kind).glob(".*")):
            with claimed(path) as free:
                if not free:
                    yield f"kept {path}, which another process uses"
                else:
                    remove(path)
                    yield f"removed {path}, left by a killed process"


def _sweep_temporaries(workspace: Workspace) -> Iterator[str]:
    """Remove temporary files of ``write_atomic`` whose processes have ended."""
    directories = (workspace.cache, workspace.state)
    for pattern in (".*.tmp", "*/.*.tmp", "*/*/.*.tmp"):
        for directory in directories:
            for path in sorted(directory.glob(pattern)):
                owner = path.name.split(".")[-2]
                if owner.isdigit() and not psutil.pid_exists(int(owner)):
                    path.unlink(missing_ok=True)
                    yield f"removed {path}, left by process {owner}"
