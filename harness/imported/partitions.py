"""GUID partition tables (UEFI 2.10, chapter 5), as on FreeBSD's own images."""

from __future__ import annotations

import os
import struct
import uuid
import zlib
from dataclasses import dataclass
from typing import IO, Final

from harness.errors import UsageError

SECTOR: Final = 512

UFS_TYPE: Final = uuid.UUID("516e7cb6-6ecf-11d6-8ff8-00022d09712b")
ZFS_TYPE: Final = uuid.UUID("516e7cba-6ecf-11d6-8ff8-00022d09712b")
"""Types of partitions (``sys/sys/disk/gpt.h``)."""

_SIGNATURE: Final = b"EFI PART"
_HEADER = struct.Struct("<8sIII4xQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_MOST_ENTRIES: Final = 1024
_CRC = slice(16, 20)


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of a disk.

    Args:
        number: its number, from 1: FreeBSD names it ``p1``.
        kind: its type.
        offset: where it begins, in bytes.
        size: its size in bytes.
        label: its label, which is any text.
    """

    number: int
    kind: uuid.UUID
    offset: int
    size: int
    label: str


def read_partitions(file: IO[bytes], name: str) -> list[Partition] | None:
    """Return the partitions of a disk; None if it has no such table.

    Args:
        file: the disk, with sectors of 512 bytes.
        name: the image's name in errors.

    Raises:
        UsageError: the table is damaged, or the file ends before the disk does.
    """
    file.seek(SECTOR)
    header = file.read(SECTOR)
    if not header.startswith(_SIGNATURE):
        return None
    try:
        _, _, length, crc, _, backup, _, last, _, entries, count, size, table_crc = (
            _HEADER.unpack_from(header)
        )
    except struct.error as error:
        raise _damaged(name) from error
    checked = bytearray(header[:length])
    checked[_CRC] = bytes(4)
    small = _HEADER.size <= length <= SECTOR and count <= _MOST_ENTRIES
    if not small or not _ENTRY.size <= size <= SECTOR or zlib.crc32(checked) != crc:
        raise _damaged(name)
    disk = file.seek(0, os.SEEK_END)
    if (max(backup, last) + 1) * SECTOR > disk:
        raise UsageError(
            f"the image {name} is truncated: its disk has {(max(backup, last) + 1) * SECTOR} "
            f"bytes, and the file {disk}",
            remedy="fetch it again",
        )
    file.seek(entries * SECTOR)
    table = file.read(count * size)
    if len(table) != count * size or zlib.crc32(table) != table_crc:
        raise _damaged(name)
    rows = (_partition(number, table[number * size :], last, name) for number in range(count))
    return [row for row in rows if row is not None]


def _partition(index: int, entry: bytes, last_usable: int, name: str) -> Partition | None:
    kind, _, first, last, _, label = _ENTRY.unpack_from(entry)
    if kind == bytes(16):
        return None
    if not first <= last <= last_usable:
        raise _damaged(name)
    return Partition(
        index + 1,
        uuid.UUID(bytes_le=kind),
        first * SECTOR,
        (last + 1 - first) * SECTOR,
        label.decode("utf-16-le", "replace").partition("\0")[0],
    )


def _damaged(name: str) -> UsageError:
    return UsageError(
        f"the partition table of the image {name} is damaged", remedy="fetch it again"
    )
