"""QEMU's memory dumps as ELF core files, with the kernel's addresses in their program headers.

``dump-guest-memory`` with ``paging=false`` writes physical memory, and a note of each CPU's
registers. Its ``paging=true`` is not used: QEMU 7.2 takes bits of page table entries that the
kernel sets for its own purposes for bits of addresses. What QEMU writes is checked like a guest's
output, because a guest may have taken it over.
"""

from __future__ import annotations

import bisect
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.debug.pagetables import AddressSpace, kernel_space, upper_entries
from harness.kernel.elftables import ElfError, ElfTables, FileType, Segment, SegmentType

if TYPE_CHECKING:
    from harness.architecture import PageTables

_HEADER_SIZE: Final = 64
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_NOTE: Final = struct.Struct("<III")
_WORD: Final = struct.Struct("<Q")
_SEGMENTS_AT: Final = 32  # e_phoff
_COUNTS: Final = struct.Struct("<QIHHHHHH")  # e_shoff, …, e_phentsize, e_phnum, e_sh*
_COUNTS_AT: Final = 40
_READ_WRITE_EXECUTE: Final = 7
_MOST_NOTES: Final = 1 << 12
_MOST_NOTE_BYTES: Final = 16 << 20


class DumpError(ValueError):
    """A dump that cannot be used, with the reason."""


@dataclass(frozen=True, slots=True)
class Translated:
    """A dump to which the kernel's addresses were added.

    Args:
        ranges: number of contiguous ranges.
        mapped: bytes that they map.
        cut: why ranges are missing; empty if none are.
    """

    ranges: int
    mapped: int
    cut: str


def add_kernel_addresses(path: Path) -> Translated:
    """Replace the physical program headers of a dump by those of the kernel's addresses.

    The new headers are appended, and the file's header is changed last.

    Raises:
        DumpError: it is not a dump of QEMU, or no page tables are found in it.
        OSError: the file cannot be read or written.
    """
    with path.open("r+b") as file:
        try:
            dump = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        except ValueError as error:
            raise DumpError("it is empty") from error
        with dump:
            memory = PhysicalMemory(dump)
            space = memory.kernel_space()
            segments = list(memory.segments(space))
            note, header = memory.note, dump[:_HEADER_SIZE]
        if not segments:
            raise DumpError("its page tables map no memory of the kernel")
        start = -(-file.seek(0, os.SEEK_END) // GUEST.page) * GUEST.page
        file.seek(start)
        file.writelines(_SEGMENT.pack(*segment) for segment in (note, *segments))
        file.flush()
        file.seek(0)
        file.write(_with_segments(header, start, len(segments) + 1))
    return Translated(len(segments), sum(each.filesz for each in segments), space.cut)


def _with_segments(header: bytes, start: int, count: int) -> bytes:
    """Return the file's header with other program headers, and without sections."""
    changed = bytearray(header)
    _WORD.pack_into(changed, _SEGMENTS_AT, start)
    _, flags, size, segment_size, _, section_size, _, _ = _COUNTS.unpack_from(header, _COUNTS_AT)
    _COUNTS.pack_into(changed, _COUNTS_AT, 0, flags, size, segment_size, count, section_size, 0, 0)
    return bytes(changed)


class PhysicalMemory:
    """The physical memory in a dump of QEMU's.

    Args:
        dump: the file's content.

    Raises:
        DumpError: it is not such a dump, or is cut off.
    """

    def __init__(self, dump: mmap.mmap | bytes) -> None:
        self._dump = dump
        try:
            elf = ElfTables(dump)
        except ElfError as error:
            raise DumpError(str(error)) from error
        if elf.type != FileType.CORE:
            raise DumpError("it is not a core file")
        self._loads = sorted(
            (each for each in elf.segments(SegmentType.LOAD) if each.filesz), key=_physical
        )
        self._starts = [each.paddr for each in self._loads]
        for load in self._loads:
            if load.offset + load.filesz > len(dump):
                raise DumpError("it is cut off")
        notes = elf.segments(SegmentType.NOTE)
        if len(notes) != 1 or notes[0].offset + notes[0].filesz > len(dump):
            raise DumpError("it has no registers")
        self.note = notes[0]

    def read(self, address: int) -> bytes | None:
        """Return the page at a physical address; None if it is not in the dump."""
        load = self._load_of(address)
        if load is None or address + GUEST.page > load.paddr + load.filesz:
            return None
        offset = load.offset + address - load.paddr
        return self._dump[offset : offset + GUEST.page]

    def _load_of(self, address: int) -> Segment | None:
        number = bisect.bisect_right(self._starts, address) - 1
        if number < 0:
            return None
        load = self._loads[number]
        return load if address < load.paddr + load.filesz else None

    def kernel_space(self) -> AddressSpace:
        """Return the kernel's addresses, by the CPU whose tables map most of them.

        Raises:
            DumpError: no CPU has page tables.
        """
        found = [selected_tables(state, GUEST.page_tables) for state in self._cpus()]
        roots = dict.fromkeys(each for each in found if each is not None)
        if not roots:
            raise DumpError("no CPU uses page tables")
        root, levels = max(roots, key=lambda each: upper_entries(self.read, each[0]))
        return kernel_space(self.read, root, levels)

    def _cpus(self) -> Iterator[bytes]:
        """Generate QEMU's note of each CPU."""
        at, end = self.note.offset, self.note.offset + min(self.note.filesz, _MOST_NOTE_BYTES)
        for _ in range(_MOST_NOTES):
            if at + _NOTE.size > end:
                return
            name_size, size, _ = _NOTE.unpack_from(self._dump, at)
            name_at = at + _NOTE.size
            content_at = name_at + (name_size + 3 & ~3)
            at = content_at + (size + 3 & ~3)
            if at > end:
                return
            if self._dump[name_at : name_at + name_size].rstrip(b"\0") == b"QEMU":
                yield self._dump[content_at : content_at + size]

    def segments(self, space: AddressSpace) -> Iterator[Segment]:
        """Generate the program header of each range, without memory that is not in the dump."""
        for virtual, physical, size in space.ranges:
            number = max(0, bisect.bisect_right(self._starts, physical) - 1)
            for load in self._loads[number:]:
                first = max(physical, load.paddr)
                length = min(physical + size, load.paddr + load.filesz) - first
                if load.paddr >= physical + size:
                    break
                if length > 0:
                    yield Segment(
                        SegmentType.LOAD, _READ_WRITE_EXECUTE, load.offset + first - load.paddr,
                        virtual + first - physical, first, length, length, 0,
                    )  # fmt: skip


def _physical(segment: Segment) -> int:
    return segment.paddr


def selected_tables(state: bytes, tables: PageTables) -> tuple[int, int] | None:
    """Return a CPU's first page table and the number of levels; None if paging is off.

    Args:
        state: QEMU's note of the CPU.
        tables: where it has the registers.
    """

    def register(offset: int) -> int:
        if offset + _WORD.size > len(state):
            return 0
        return int(_WORD.unpack_from(state, offset)[0])

    offset, bit = tables.paging
    if not register(offset) & bit:
        return None
    offset, bit, deep = tables.deep
    return register(tables.root), deep if register(offset) & bit else tables.levels
