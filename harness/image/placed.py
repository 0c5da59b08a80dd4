"""Files as they lie in a guest's memory when its kernel is entered.

Kernel, module and root file system, placed as FreeBSD's loader places them: ``elf64_loadimage()``
and ``elf64_obj_loadimage()`` (``stand/common/load_elf.c``, ``load_elf_obj.c``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile

from harness.errors import UsageError
from harness.image.preload import (
    KERNEL_TYPE,
    OBJECT_TYPE,
    ROOT_TYPE,
    Metadata,
    PreloadedFile,
    number,
)
from harness.image.recipe import KERNEL, MODULE, ROOT_IMAGE

PAGE: Final = 4096

_KERNBASE: Final = 0xFFFFFFFF80000000  # sys/amd64/include/vmparam.h

#: Sections of a module that lie in memory (``elf64_obj_loadimage()``).
_IN_MEMORY: Final = frozenset(
    {"SHT_PROGBITS", "SHT_NOBITS", "SHT_AMD64_UNWIND", "SHT_INIT_ARRAY", "SHT_FINI_ARRAY"}
)

_SH_ADDR: Final = 16  # offset in Elf64_Shdr


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes in the guest's memory.

    Args:
        address: physical.
        data: the first of them.
        size: of all; the rest are zeros.
    """

    address: int
    data: bytes
    size: int

    @property
    def end(self) -> int:
        """The address after it."""
        return self.address + self.size


@dataclass(frozen=True, slots=True)
class Placed:
    """A file, and what of it lies where.

    Args:
        file: as the kernel is told of it.
        chunks: its bytes.
        entry: where it is entered, if it is a program.
    """

    file: PreloadedFile
    chunks: tuple[Chunk, ...]
    entry: int = 0

    @property
    def end(self) -> int:
        """The address after it."""
        return self.file.address + self.file.size


def place_kernel(path: Path) -> Placed:
    """A kernel at the physical addresses that it is linked for, then its symbols.

    Raises:
        UsageError: it is no amd64 kernel.
    """
    with _reading(path, "an amd64 kernel") as elf:
        chunks = [
            Chunk(one["p_vaddr"] - _KERNBASE, _bytes_of(elf, one), one["p_memsz"])
            for one in _segments(elf)
        ]
        if elf["e_type"] != "ET_EXEC" or not chunks or min(one.address for one in chunks) < 0:
            raise ELFError("it is not linked as a kernel is")
        first = min(one.address for one in chunks)
        symbols = _symbols(elf, round_up(max(one.end for one in chunks), 8))
        metadata = [
            (Metadata.SHDR, _section_headers(elf)),
            *_constructors(elf),
            *_debugger_symbols(symbols),
            *_dynamic(elf),
            (Metadata.ELFHDR, _header(elf)),
        ]
    file = PreloadedFile(f"/{KERNEL}", KERNEL_TYPE, first, symbols.end - first, tuple(metadata))
    return Placed(file, (*chunks, symbols), elf["e_entry"])


def place_object(path: Path, address: int) -> Placed:
    """A module as the compiler left it: its sections one after the other, to be linked there.

    Raises:
        UsageError: it is no such module.
    """
    with _reading(path, "a kernel module for amd64") as elf:
        if elf["e_type"] != "ET_REL":
            raise ELFError("it is no relocatable object")
        headers = bytearray(_section_headers(elf))
        chunks: list[Chunk] = []
        end = address
        places = dict.fromkeys(range(elf.num_sections()), 0)
        for index in _object_order(elf):
            section = elf.get_section(index)
            place = round_up(end, max(1, section["sh_addralign"]))
            data = b"" if section["sh_type"] == "SHT_NOBITS" else section.data()
            chunks.append(Chunk(place, data, section["sh_size"]))
            places[index], end = place, chunks[-1].end
        for index, place in places.items():
            at = index * elf["e_shentsize"] + _SH_ADDR
            headers[at : at + 8] = number(place)
        metadata = ((Metadata.SHDR, bytes(headers)), (Metadata.ELFHDR, _header(elf)))
    file = PreloadedFile(f"/{MODULE}", OBJECT_TYPE, address, end - address, metadata)
    return Placed(file, tuple(chunks))


def _object_order(elf: Any) -> Iterator[int]:
    """The sections that lie in memory: code and data, symbols, their names, relocations."""
    sections = list(enumerate(elf.iter_sections()))

    def allocated(section: Any) -> bool:
        return bool(section["sh_flags"] & SH_FLAGS.SHF_ALLOC)

    for index, section in sections:
        if section["sh_type"] in _IN_MEMORY and section["sh_size"] and allocated(section):
            yield index
    tables = [index for index, section in sections if section["sh_type"] == "SHT_SYMTAB"]
    if len(tables) != 1:
        raise ELFError("it has no symbol table, or several")
    yield tables[0]
    yield elf.get_section(tables[0])["sh_link"]
    yield elf["e_shstrndx"]
    for index, section in sections:
        if section["sh_type"] in ("SHT_REL", "SHT_RELA") and allocated(
            elf.get_section(section["sh_info"])
        ):
            yield index


def place_root(path: Path, address: int) -> Placed:
    """The image of the root file system."""
    chunk = whole(address, path.read_bytes())
    return Placed(PreloadedFile(f"/{ROOT_IMAGE}", ROOT_TYPE, address, chunk.size), (chunk,))


# What ELF files say


@contextlib.contextmanager
def _reading(path: Path, what: str) -> Iterator[Any]:
    """The ELF file; that it is damaged, or another, is the user's fault."""
    with path.open("rb") as stream:
        try:
            yield ELFFile(stream)
        except ELFError as error:
            raise UsageError(
                f"{path} cannot be started directly: it is not {what} ({error})",
                remedy="start it through the loader (--boot loader)",
            ) from error


def _segments(elf: Any) -> Iterator[Any]:
    return (one for one in elf.iter_segments() if one["p_type"] == "PT_LOAD")


def _bytes_of(elf: Any, segment: Any) -> bytes:
    return _read(elf, segment["p_offset"], segment["p_filesz"])


def _read(elf: Any, offset: int, size: int) -> bytes:
    elf.stream.seek(offset)
    data: bytes = elf.stream.read(size)
    if len(data) != size:
        raise ELFError("it is cut off")
    return data


def _header(elf: Any) -> bytes:
    return _read(elf, 0, elf["e_ehsize"])


def _section_headers(elf: Any) -> bytes:
    return _read(elf, elf["e_shoff"], elf["e_shnum"] * elf["e_shentsize"])


def _symbols(elf: Any, address: int) -> Chunk:
    """Symbols and their names for the debugger, each with its size before it; maybe nothing."""
    table = next((one for one in elf.iter_sections() if one["sh_type"] == "SHT_SYMTAB"), None)
    data = b""
    if table is not None:
        for section in (table, elf.get_section(table["sh_link"])):
            content = section.data()
            data += number(len(content)) + content + bytes(-len(content) % 8)
    return whole(address, data)


def _debugger_symbols(symbols: Chunk) -> Iterator[tuple[Metadata, bytes]]:
    if symbols.size:
        yield Metadata.SSYM, number(symbols.address)
        yield Metadata.ESYM, number(symbols.end)


def _constructors(elf: Any) -> Iterator[tuple[Metadata, bytes]]:
    section = elf.get_section_by_name(".ctors")
    if section is not None:
        yield Metadata.CTORS_ADDR, number(section["sh_addr"])
        yield Metadata.CTORS_SIZE, number(section["sh_size"])


def _dynamic(elf: Any) -> Iterator[tuple[Metadata, bytes]]:
    for segment in elf.iter_segments():
        if segment["p_type"] == "PT_DYNAMIC":
            yield Metadata.DYNAMIC, number(segment["p_vaddr"])


def whole(address: int, data: bytes) -> Chunk:
    """All these bytes."""
    return Chunk(address, data, len(data))


def round_up(value: int, step: int) -> int:
    """The next multiple of ``step``."""
    return -(-value // step) * step
