"""The section and program headers of an ELF file, and its bytes.

pyelftools' objects for sections and segments parse their content when they are created, which for a
kernel includes hash tables of tens of thousands of entries.
"""

from __future__ import annotations

import io
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.common.utils import struct_parse
from elftools.elf.elffile import ELFFile

from harness.arch import GUEST


class ElfTables:
    """An ELF file of the guests' architecture.

    Attributes:
        type: the file's type, such as ``ET_EXEC``.
        entry: the entry point.
        sections: the section headers, as pyelftools parses them.
        names_index: index of the section with the sections' names.
        section_header_size: size of a section header in bytes.

    Raises:
        ELFError: it is not such a file, or is cut off; raised by all methods.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._stream = io.BytesIO(data)
        try:
            elf = ELFFile(self._stream)
        except OverflowError as error:
            raise ELFError("its header is invalid") from error
        if elf.get_machine_arch() != GUEST.elf_name:
            raise ELFError("it is for another machine")
        self._header = elf.header
        self.type: str = self._header["e_type"]
        self.entry: int = self._header["e_entry"]
        self.names_index: int = self._header["e_shstrndx"]
        self.section_header_size: int = self._header["e_shentsize"]
        self._segments = self._table(elf.structs.Elf_Phdr, "e_ph")
        self.sections = self._table(elf.structs.Elf_Shdr, "e_sh")
        self._names = self.content(self.sections[self.names_index]) if self.sections else b""

    def segments(self, kind: str) -> list[Any]:
        """Return the program headers of a type."""
        return [one for one in self._segments if one["p_type"] == kind]

    def name(self, section: Any) -> bytes:
        """Return a section's name."""
        return self._names[section["sh_name"] :].partition(b"\0")[0]

    def content(self, section: Any) -> bytes:
        """Return a section's bytes in the file."""
        if section["sh_type"] == "SHT_NOBITS":
            return b""
        return self.read(section["sh_offset"], section["sh_size"])

    def header(self) -> bytes:
        """Return the bytes of the file's header."""
        return self.read(0, self._header["e_ehsize"])

    def section_headers(self) -> bytes:
        """Return the bytes of the section headers."""
        header = self._header
        return self.read(header["e_shoff"], header["e_shnum"] * header["e_shentsize"])

    def read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes of the file from ``offset``."""
        if offset + size > len(self._data):
            raise ELFError("it is cut off")
        return self._data[offset : offset + size]

    def _table(self, entry: Any, prefix: str) -> list[Any]:
        header = self._header
        start, size = header[f"{prefix}off"], header[f"{prefix}entsize"]
        end = start + size * header[f"{prefix}num"]
        if end > len(self._data):
            raise ELFError("it is cut off")
        offsets = range(start, end, size or 1)
        return [struct_parse(entry, self._stream, offset) for offset in offsets]
