"""Reads small files of UFS file systems, both versions (``sys/ufs/ffs/fs.h``, ``dinode.h``).

A file system is hostile input: each number of it is checked before it is used, and what is read is
bounded.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

_SUPERBLOCKS: Final = (65536, 8192)
"""Where file systems of version 2 and 1 have their superblock, in bytes."""

_SUPERBLOCK_BYTES: Final = 1376
_MAGICS: Final = {0x011954: 1, 0x19540119: 2}
_ROOT: Final = 2
_DIRECT: Final = 12
"""Blocks that an inode names itself; files with more are not read to their end."""

_MOST_ENTRIES: Final = 10_000
_ENTRY = struct.Struct("<IHBB")


class UfsError(ValueError):
    """A file system is damaged, or none, or has no such file."""


@dataclass(frozen=True, slots=True)
class _Inode:
    """A file: its mode, its size, and its first blocks, as numbers of fragments."""

    mode: int
    size: int
    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ufs:
    """A file system that was recognised.

    Args:
        file: the disk.
        offset: where the file system begins, in bytes.
        version: 1 or 2.
        size: its size in bytes.
    """

    file: IO[bytes]
    offset: int
    version: int
    size: int
    block: int
    fragment: int
    inodes_per_block: int
    inodes_per_group: int
    fragments_per_group: int
    inode_table: int
    groups: int
    stagger: tuple[int, int]

    def read(self, path: str, limit: int) -> bytes:
        """Return the first bytes of a regular file; symbolic links are not followed.

        Args:
            path: its path from the top, without a leading slash.
            limit: most bytes.

        Raises:
            UfsError: there is no such file, or the file system is damaged.
        """
        inode = self._inode(_ROOT)
        for name in path.split("/"):
            if not stat.S_ISDIR(inode.mode):
                raise UfsError(f"no file {path}")
            found = dict(self._entries(inode)).get(name.encode())
            if found is None:
                raise UfsError(f"no file {path}")
            inode = self._inode(found)
        if not stat.S_ISREG(inode.mode):
            raise UfsError(f"{path} is not a regular file")
        return self._content(inode, limit)

    def has(self, path: str) -> bool:
        """Return whether there is such a regular file."""
        try:
            self.read(path, 1)
        except UfsError:
            return False
        return True

    def _inode(self, number: int) -> _Inode:
        group, index = divmod(number, self.inodes_per_group)
        if not group < self.groups:
            raise UfsError(f"inode {number} is beyond the end")
        cycle, mask = self.stagger
        start = group * self.fragments_per_group + cycle * (group & ~mask)
        block, within = divmod(index, self.inodes_per_block)
        fragments = start + self.inode_table + block * (self.block // self.fragment)
        length = 128 if self.version == 1 else 256
        data = self._at(fragments * self.fragment + within * length, length)
        (mode,) = struct.unpack_from("<H", data, 0)
        (size,) = struct.unpack_from("<Q", data, 8 if self.version == 1 else 16)
        layout, at = (f"<{_DIRECT}i", 40) if self.version == 1 else (f"<{_DIRECT}q", 112)
        return _Inode(mode, size, struct.unpack_from(layout, data, at))

    def _content(self, inode: _Inode, limit: int) -> bytes:
        left = min(inode.size, limit, _DIRECT * self.block)
        parts = []
        for number in inode.blocks:
            length = min(left, self.block)
            if length <= 0:
                break
            hole = number == 0
            parts.append(bytes(length) if hole else self._at(number * self.fragment, length))
            left -= length
        return b"".join(parts)

    def _entries(self, directory: _Inode) -> Iterator[tuple[bytes, int]]:
        data, at = self._content(directory, directory.size), 0
        for _ in range(_MOST_ENTRIES):
            if at + _ENTRY.size > len(data):
                return
            number, length, _, named = _ENTRY.unpack_from(data, at)
            if length < _ENTRY.size + named:
                raise UfsError("a directory is damaged")
            if number:
                yield data[at + _ENTRY.size : at + _ENTRY.size + named], number
            at += length

    def _at(self, position: int, length: int) -> bytes:
        if not 0 <= position <= self.size - length:
            raise UfsError("a block is beyond the end")
        self.file.seek(self.offset + position)
        data = self.file.read(length)
        if len(data) != length:
            raise UfsError("the file ends before the file system does")
        return data


def open_ufs(file: IO[bytes], offset: int, room: int) -> Ufs:
    """Return the file system that begins at an offset.

    Args:
        file: the disk.
        offset: in bytes.
        room: bytes from there to the end of the partition or the disk.

    Raises:
        UfsError: there is none, or its superblock is damaged, or it is larger than its room.
    """
    for position in _SUPERBLOCKS:
        file.seek(offset + position)
        data = file.read(_SUPERBLOCK_BYTES)
        if len(data) < _SUPERBLOCK_BYTES:
            continue
        version = _MAGICS.get(struct.unpack_from("<I", data, 1372)[0])
        if version is not None:
            return _parsed(file, offset, room, version, data)
    raise UfsError("no UFS file system")


def _parsed(file: IO[bytes], offset: int, room: int, version: int, data: bytes) -> Ufs:
    def number(at: int) -> int:
        return int(struct.unpack_from("<i", data, at)[0])

    block, fragment = number(48), number(52)
    fragments = number(36) if version == 1 else int(struct.unpack_from("<q", data, 1080)[0])
    per_block, per_group, group_size, groups = number(120), number(184), number(188), number(44)
    sane = (
        fragment in {1 << bits for bits in range(9, 17)}
        and block in {fragment * ratio for ratio in (1, 2, 4, 8)}
        and min(per_block, per_group, group_size, groups, fragments, number(16)) > 0
    )
    if not sane:
        raise UfsError("the superblock is damaged")
    size = fragments * fragment
    file.seek(0, os.SEEK_END)
    if size > room or offset + size > file.tell():
        raise UfsError(f"truncated: the file system has {size} bytes, and its disk {room}")
    stagger = (number(24), number(28)) if version == 1 else (0, -1)
    return Ufs(
        file, offset, version, size, block, fragment, per_block, per_group, group_size, number(16),
        groups, stagger,
    )  # fmt: skip
