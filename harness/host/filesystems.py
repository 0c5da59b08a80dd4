"""The file system that a path is on."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psutil

#: File systems that several hosts can mount at once: locks and shared memory do not reach them all.
_NETWORK: Final = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse.glusterfs", "fuse.sshfs", "gfs2",
        "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb3", "smbfs", "vboxsf",
        "virtiofs",
    }
)  # fmt: skip


def filesystem_of(path: Path) -> str:
    """Return the type of the file system that holds a path, or would hold it; empty if unknown."""
    real = path.resolve()
    kind, depth = "", -1
    for mount in psutil.disk_partitions(all=True):
        place = Path(mount.mountpoint)
        if real.is_relative_to(place) and len(place.parts) >= depth:
            kind, depth = mount.fstype, len(place.parts)
    return kind


def is_network(kind: str) -> bool:
    """Return whether a file system of that type can be mounted by several hosts at once."""
    return kind in _NETWORK
