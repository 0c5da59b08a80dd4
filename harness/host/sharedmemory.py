"""Memory that this process shares with a guest's QEMU, and its packed form in a file.

The packed form has the pages that are not zero: a magic number, then for each run of pages its
offset and length, and the pages; a run without pages at the end of the memory ends it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Final

_MAGIC: Final = b"harness memory 1"
_RUN: Final = struct.Struct("<QQ")
_PAGE: Final = 4096
_CHUNK: Final = 1 << 20
_ZEROS: Final = bytes(_CHUNK)


def can_share_memory() -> bool:
    """Return whether this host has such memory (memfd_create(2))."""
    return hasattr(os, "memfd_create")


def share_memory(name: str, size: int) -> int:
    """Return a descriptor of new memory of ``size`` bytes, all zero; it ends with its last user.

    Raises:
        OSError: there is no memory, or no descriptor.
    """
    descriptor = os.memfd_create(name)
    try:
        os.ftruncate(descriptor, size)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def inherited_path(descriptor: int) -> str:
    """Return a path by which a process opens a descriptor that it has inherited."""
    return f"/proc/self/fd/{descriptor}"


def move_memory(descriptors: Sequence[int], process: int, name: str) -> None:
    """Copy memory into that of another process, to which the descriptors refer afterwards.

    Args:
        descriptors: of memory, in the order in which the process has allocated its own.
        process: its process id; it does not use its memory yet.
        name: the name of each of its memories (memfd_create(2)).

    Raises:
        OSError: the process's memory cannot be opened, or is not of the same sizes.
    """
    with ExitStack() as held:
        theirs = []
        for path in _memories(process, name):
            theirs.append(os.open(path, os.O_RDWR | os.O_CLOEXEC))
            held.callback(os.close, theirs[-1])
        sizes = [[os.fstat(each).st_size for each in memory] for memory in (descriptors, theirs)]
        if sizes[0] != sizes[1]:
            raise OSError(f"process {process} has memory of {sizes[1]} bytes, not {sizes[0]}")
        for ours, other in zip(descriptors, theirs, strict=True):
            for start, end in _extents(ours):
                for offset in range(start, end, _CHUNK):
                    os.pwrite(other, os.pread(ours, min(_CHUNK, end - offset), offset), offset)
            os.dup2(other, ours, inheritable=False)


def _memories(process: int, name: str) -> list[Path]:
    """Return the paths of a process's memories, in the order of their allocation."""
    found = []
    for path in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):  # a descriptor that was just closed
            if str(path.readlink()).startswith(f"/memfd:{name} "):
                found.append(path)
    return sorted(found, key=lambda path: int(path.name))


def pack_memory(descriptor: int, path: Path) -> None:
    """Write the packed form of shared memory to a file.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("wb") as file:
        file.write(_MAGIC)
        for start, end in _extents(descriptor):
            for offset in range(start, end, _CHUNK):
                _pack(os.pread(descriptor, min(_CHUNK, end - offset), offset), offset, file)
        file.write(_RUN.pack(os.fstat(descriptor).st_size, 0))


def _pack(data: bytes, base: int, file: IO[bytes]) -> None:
    if data == _ZEROS[: len(data)]:
        return
    zero, view = _ZEROS[:_PAGE], memoryview(data)
    first = -1
    for at in range(0, len(data) + _PAGE, _PAGE):
        if at < len(data) and data[at : at + _PAGE] != zero:
            first = at if first < 0 else first
        elif first >= 0:
            end = min(at, len(data))
            file.write(_RUN.pack(base + first, end - first))
            file.write(view[first:end])
            first = -1


def _extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges of memory that were ever written."""
    size, end = os.fstat(descriptor).st_size, 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:  # ENXIO: there are no more
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end


def unpack_memory(path: Path, descriptor: int) -> None:
    """Fill new shared memory from a file that ``pack_memory`` has written.

    Raises:
        ValueError: the file is damaged, or of memory of another size.
        OSError: the file cannot be read, or there is no memory.
    """
    size = os.fstat(descriptor).st_size
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("it is not a guest's memory")
        while True:
            header = file.read(_RUN.size)
            if len(header) < _RUN.size:
                raise ValueError("it is truncated")
            offset, length = _RUN.unpack(header)
            if offset + length > size or (length == 0 and offset != size):
                raise ValueError(f"it is not of memory of {size} bytes")
            if length == 0:
                return
            _unpack(file, descriptor, offset, length)


def _unpack(file: IO[bytes], descriptor: int, offset: int, length: int) -> None:
    while length:
        data = file.read(min(_CHUNK, length))
        if not data:
            raise ValueError("it is truncated")
        os.pwrite(descriptor, data, offset)
        offset += len(data)
        length -= len(data)
