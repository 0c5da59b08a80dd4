"""The section and program headers of an ELF file, and its bytes (elf(5)).

pyelftools would take longer to import than to start a guest, and parses hash tables of tens of
thousands of entries in a kernel.
"""

from __future__ import annotations

import mmap
import struct
from enum import IntEnum
from typing import Final, NamedTuple

from harness.arch import GUEST


class ElfError(ValueError):
    """It is not an ELF file of the guests' architecture, or is damaged."""


class FileType(IntEnum):
    """``e_type``."""

    REL = 1
    EXEC = 2
    CORE = 4


class SegmentType(IntEnum):
    """``p_type``."""

    LOAD = 1
    DYNAMIC = 2
    NOTE = 4


class SectionType(IntEnum):
    """``sh_type``, as far as it matters here."""

    PROGBITS = 1
    SYMTAB = 2
    RELA = 4
    NOBITS = 8
    REL = 9
    INIT_ARRAY = 14
    FINI_ARRAY = 15


class Segment(NamedTuple):
    """A program header, ``Elf64_Phdr``."""

    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    align: int


class Section(NamedTuple):
    """A section header, ``Elf64_Shdr``; ``name`` is an offset in the section of names."""

    name: int
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    addralign: int
    entsize: int

    @property
    def is_loaded(self) -> bool:
        """Whether it lies in memory (``SHF_ALLOC``)."""
        return bool(self.flags & _ALLOC)

    @property
    def is_executed(self) -> bool:
        """Whether it holds code (``SHF_EXECINSTR``)."""
        return bool(self.flags & _EXECINSTR)


_ALLOC: Final = 2
_EXECINSTR: Final = 4
_IDENT: Final = b"\x7fELF\x02\x01"  # 64 bits, little endian
_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")


class ElfTables:
    """An ELF file of the guests' architecture.

    Attributes:
        type: the file's type; see ``FileType``.
        entry: the entry point.
        sections: the section headers.
        names_index: index of the section with the sections' names.
        section_header_size: size of a section header in bytes.

    Raises:
        ElfError: it is not such a file, or is cut off; raised by all methods.
    """

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data = data
        if len(data) < _HEADER.size or data[: len(_IDENT)] != _IDENT:
            raise ElfError("its header is invalid")
        (_, self.type, machine, _, self.entry, segments, self._sections_at, _, self._header_size,
         segment_size, segment_count, self.section_header_size, section_count,
         self.names_index) = _HEADER.unpack_from(data)  # fmt: skip
        if machine != GUEST.elf_machine:
            raise ElfError("it is for another machine")
        self._segments = [
            Segment(*fields)
            for fields in self._table(_SEGMENT, segments, segment_size, segment_count)
        ]
        self.sections = [
            Section(*fields)
            for fields in self._table(
                _SECTION, self._sections_at, self.section_header_size, section_count
            )
        ]
        if self.sections and self.names_index >= len(self.sections):
            raise ElfError("its sections have no names")
        self._names = self.content(self.sections[self.names_index]) if self.sections else b""

    def segments(self, kind: SegmentType) -> list[Segment]:
        """Return the program headers of a type."""
        return [one for one in self._segments if one.type == kind]

    def name(self, section: Section) -> bytes:
        """Return a section's name."""
        return self._names[section.name :].partition(b"\0")[0]

    def content(self, section: Section) -> bytes:
        """Return a section's bytes in the file."""
        if section.type == SectionType.NOBITS:
            return b""
        return self.read(section.offset, section.size)

    def header(self) -> bytes:
        """Return the bytes of the file's header."""
        return self.read(0, self._header_size)

    def section_headers(self) -> bytes:
        """Return the bytes of the section headers."""
        return self.read(self._sections_at, len(self.sections) * self.section_header_size)

    def read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes of the file from ``offset``."""
        return bytes(self.view(offset, size))

    def view(self, offset: int, size: int) -> memoryview:
        """Return the same bytes as ``read``, without a copy of them."""
        if offset + size > len(self._data):
            raise ElfError("it is cut off")
        return memoryview(self._data)[offset : offset + size]

    def _table(
        self, entry: struct.Struct, start: int, size: int, count: int
    ) -> list[tuple[int, ...]]:
        if count and size != entry.size:
            raise ElfError(f"its headers have {size} bytes, not {entry.size}")
        return list(entry.iter_unpack(self.read(start, count * entry.size)))
