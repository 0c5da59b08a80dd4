"""The layout of files in a guest's memory when its kernel is entered.

Kernel, module and root file system are placed as by FreeBSD's loader: ``elf64_loadimage()`` and
``elf64_obj_loadimage()`` (``stand/common/load_elf.c``, ``load_elf_obj.c``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.arch import GUEST
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
from harness.kernel.elftables import (
    ElfError,
    ElfTables,
    FileType,
    Section,
    SectionType,
    SegmentType,
)

if TYPE_CHECKING:
    from harness.architecture import DirectStart

#: Types of a module's sections that are loaded (``elf64_obj_loadimage()``).
_IN_MEMORY: Final = frozenset(
    {
        SectionType.PROGBITS,
        SectionType.NOBITS,
        SectionType.INIT_ARRAY,
        SectionType.FINI_ARRAY,
        *GUEST.elf_sections,
    }
)

_SH_ADDR: Final = 16  # offset in Elf64_Shdr


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes in the guest's memory.

    Args:
        address: the physical address.
        data: the first bytes.
        size: the total size; the rest is zero.
    """

    address: int
    data: bytes | memoryview
    size: int

    @property
    def end(self) -> int:
        """The address after the last byte."""
        return self.address + self.size


@dataclass(frozen=True, slots=True)
class Placed:
    """A file in the guest's memory.

    Args:
        file: its metadata for the kernel.
        chunks: its bytes.
        entry: the entry point of a program.
    """

    file: PreloadedFile
    chunks: tuple[Chunk, ...]
    entry: int = 0

    @property
    def end(self) -> int:
        """The address after the last byte."""
        return self.file.address + self.file.size


def place_kernel(path: Path) -> Placed:
    """Place a kernel at the physical addresses that it is linked for, followed by its symbols.

    Raises:
        UsageError: it is not a kernel of the guests' architecture.
    """
    start = direct_start()
    with _reading(path, f"a kernel of FreeBSD/{GUEST.name}") as file:
        chunks = [
            Chunk(one.vaddr - start.kernel_base, file.view(one.offset, one.filesz),
                  one.memsz)
            for one in file.segments(SegmentType.LOAD)
        ]  # fmt: skip
        first = min((one.address for one in chunks), default=0)
        if file.type != FileType.EXEC or first < start.kernel_load:
            raise ElfError("it is not linked like FreeBSD's kernel")
        for one in chunks:
            _check_fits(one)
        symbols = _symbols(file, round_up(max(one.end for one in chunks), 8))
        _check_fits(symbols)
        metadata = (
            (Metadata.SHDR, file.section_headers()),
            *_constructors(file),
            *_debugger_symbols(symbols),
            *((Metadata.DYNAMIC, number(one.vaddr)) for one in file.segments(SegmentType.DYNAMIC)),
            (Metadata.ELFHDR, file.header()),
        )
        preloaded = PreloadedFile(f"/{KERNEL}", KERNEL_TYPE, first, symbols.end - first, metadata)
        return Placed(preloaded, (*chunks, symbols), file.entry)


def _symbols(file: ElfTables, address: int) -> Chunk:
    """Return symbol and string table for DDB, each preceded by its size; may be empty."""
    table = next((one for one in file.sections if one.type == SectionType.SYMTAB), None)
    parts: list[bytes] = []
    if table is not None:
        for section in (table, file.sections[table.link]):
            content = file.content(section)
            parts += [number(len(content)), content, bytes(-len(content) % 8)]
    return whole(address, b"".join(parts))


def _debugger_symbols(symbols: Chunk) -> Iterator[tuple[Metadata, bytes]]:
    if symbols.size:
        yield Metadata.SSYM, number(symbols.address)
        yield Metadata.ESYM, number(symbols.end)


def _constructors(file: ElfTables) -> Iterator[tuple[Metadata, bytes]]:
    for section in file.sections:
        if file.name(section) == b".ctors":
            yield Metadata.CTORS_ADDR, number(section.addr)
            yield Metadata.CTORS_SIZE, number(section.size)


def place_object(path: Path, address: int) -> Placed:
    """Place the sections of a module from ``address`` on; the kernel links it there.

    Raises:
        UsageError: it is not a kernel module.
    """
    with _reading(path, f"a kernel module of FreeBSD/{GUEST.name}") as file:
        if file.type != FileType.REL:
            raise ElfError("it is not a relocatable object")
        chunks: list[Chunk] = []
        addresses = [0] * len(file.sections)
        end = address
        for index in _object_order(file):
            section = file.sections[index]
            addresses[index] = round_up(end, max(1, section.addralign))
            chunks.append(Chunk(addresses[index], file.content(section), section.size))
            end = chunks[-1].end
            _check_fits(chunks[-1])
        headers = bytearray(file.section_headers())
        for index, placed in enumerate(addresses):
            at = index * file.section_header_size + _SH_ADDR
            headers[at : at + 8] = number(placed)
        metadata = ((Metadata.SHDR, bytes(headers)), (Metadata.ELFHDR, file.header()))
    preloaded = PreloadedFile(f"/{MODULE}", OBJECT_TYPE, address, end - address, metadata)
    return Placed(preloaded, tuple(chunks))


def _check_fits(chunk: Chunk) -> None:
    if chunk.end > direct_start().mapped:
        raise ElfError("it does not fit into the first GiB of memory")


def _object_order(file: ElfTables) -> Iterator[int]:
    """Generate the sections to load: code and data, symbols, names, relocations."""
    sections = file.sections

    yield from (index for index, section in enumerate(sections) if _is_in_memory(section))
    tables = [index for index, one in enumerate(sections) if one.type == SectionType.SYMTAB]
    if len(tables) != 1:
        raise ElfError("it has no symbol table, or several")
    yield tables[0]
    yield sections[tables[0]].link
    yield file.names_index
    for index, section in enumerate(sections):
        of_relocations = section.type in (SectionType.REL, SectionType.RELA)
        if of_relocations and sections[section.info].is_loaded:
            yield index


def loaded_sections(file: ElfTables) -> list[Section]:
    """Return the sections of a module with code and data, in the order in which they are loaded."""
    return [section for section in file.sections if _is_in_memory(section)]


def _is_in_memory(section: Section) -> bool:
    return section.type in _IN_MEMORY and section.size > 0 and section.is_loaded


def place_root(path: Path, address: int) -> Placed:
    """Place the image of the root file system."""
    chunk = whole(address, path.read_bytes())
    return Placed(PreloadedFile(f"/{ROOT_IMAGE}", ROOT_TYPE, address, chunk.size), (chunk,))


def direct_start() -> DirectStart:
    """Return the addresses and texts of the direct start.

    Raises:
        UsageError: the guests' architecture has no direct start.
    """
    if GUEST.direct is None:
        raise UsageError(
            f"QEMU cannot start a FreeBSD/{GUEST.name} kernel directly",
            remedy="start it through the loader: --boot loader",
        )
    return GUEST.direct


def whole(address: int, data: bytes) -> Chunk:
    """Return a chunk of these bytes."""
    return Chunk(address, data, len(data))


def round_up(value: int, step: int) -> int:
    """Return the next multiple of ``step``."""
    return -(-value // step) * step


@contextlib.contextmanager
def _reading(path: Path, what: str) -> Iterator[ElfTables]:
    """Return the ELF file; raise UsageError if it is damaged or of another kind."""
    data = path.read_bytes()
    try:
        yield ElfTables(data)
    except (ElfError, IndexError) as error:
        raise UsageError(
            f"{path} cannot be started directly: it is not {what} ({error})",
            remedy="start it through the loader: --boot loader",
        ) from error
