"""The files of a guest's disks, opened for a QEMU whose user may not open them itself."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

from harness.errors import InfraError
from harness.guest.devices import DiskFormat, GuestDisk, disk_name

_QCOW2_MAGIC: Final = b"QFI\xfb"
_QCOW2_HEADER: Final = struct.Struct(">4sIQIIQ")  # up to the virtual size: docs/interop/qcow2.txt
_CLUSTER_BITS: Final = range(9, 22)
_OVERHEAD: Final = 32
"""Bytes of a qcow2 file beside each cluster: its entries in tables and its reference count."""


def open_disks(disks: tuple[GuestDisk, ...], held: ExitStack) -> dict[str, int]:
    """Open the files of all disks, also those below an overlay; return them by ``disk_name``.

    Args:
        disks: the disks.
        held: closes the descriptors.

    Raises:
        InfraError: a file cannot be opened, or is no regular file.
    """
    opened = {}
    for number, disk in enumerate(disks):
        for depth, each in enumerate(disk.chain):
            descriptor = _open(each)
            held.callback(os.close, descriptor)
            opened[disk_name(number, depth)] = descriptor
    return opened


def largest_file(disks: tuple[GuestDisk, ...], opened: Mapping[str, int]) -> int:
    """Return the most bytes that a file of these disks can grow to; 0 if all are read-only.

    Raises:
        InfraError: a file is not in its disk's format.
    """
    sizes = (
        _most_bytes(disk, opened[disk_name(number)])
        for number, disk in enumerate(disks)
        if not disk.read_only
    )
    return max(sizes, default=0)


def _most_bytes(disk: GuestDisk, descriptor: int) -> int:
    size = os.fstat(descriptor).st_size
    if disk.format is DiskFormat.RAW:
        return size
    header = os.pread(descriptor, _QCOW2_HEADER.size, 0).ljust(_QCOW2_HEADER.size, b"\0")
    magic, _, _, _, cluster_bits, virtual = _QCOW2_HEADER.unpack(header)
    if magic != _QCOW2_MAGIC or cluster_bits not in _CLUSTER_BITS:
        raise InfraError(
            f"disk {disk.path} is not a qcow2 image",
            remedy=f"inspect it: qemu-img info {disk.path}",
        )
    clusters = (virtual >> cluster_bits) + 1
    return int(max(size, virtual) + clusters * _OVERHEAD)


def _open(disk: GuestDisk) -> int:
    mode = os.O_RDONLY if disk.read_only else os.O_RDWR
    try:
        # O_NONBLOCK: a pipe would wait for its other end.
        descriptor = os.open(disk.path, mode | os.O_CLOEXEC | os.O_NONBLOCK)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    except OSError as error:
        raise _unusable(disk, error.strerror or "unknown error") from error
    raise _unusable(disk, "not a regular file")


def _unusable(disk: GuestDisk, why: str) -> InfraError:
    return InfraError(
        f"cannot open disk {disk.path}: {why}", remedy=f"check the file: ls -l {disk.path}"
    )
