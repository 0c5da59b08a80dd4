"""Facts of a kernel from its ELF file."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.errors import UsageError
from harness.kernel.elftables import ElfError, ElfTables, SectionType, SegmentType
from harness.sanitizers import TABLE, Sanitizers

if TYPE_CHECKING:
    from pathlib import Path

    from harness.kernel.artifact import KernelArtifact


#: Identifies the debug information of a kernel; not part of its behaviour.
_BUILD_ID: Final = b".note.gnu.build-id"

_LINE_TABLES: Final = (b".debug_line", b".debug_line_str")

_SOURCE: Final = re.compile(rb"([\w.+-]+\.[chmS])\0", re.ASCII)

_MARKERS: Final = {row.marker.encode(): row for row in TABLE}

_SYMBOL: Final = struct.Struct("<IBBHQQ")  # Elf64_Sym, elf(5)
_NOTE_HEAD: Final = struct.Struct("<III")  # Elf_Note: sizes of name and content, type
_VERSION_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """Facts that identify a kernel, in its file and in the guest.

    Args:
        build_id: the linker's build ID, in hexadecimal; empty if there is none.
        version: the kernel's banner, also ``kern.version``.
        sanitizers: the sanitizers whose marker is among its symbols.
        size: size of the file in bytes, about the memory that it takes.
    """

    build_id: str
    version: str
    sanitizers: Sanitizers
    size: int


def kernel_facts(kernel: Path) -> KernelFacts:
    """Return the facts of a kernel, FreeBSD's or the built-in guest's.

    Raises:
        UsageError: it is not an ELF executable of the guests' architecture with a kernel's symbols.
    """
    try:
        if not kernel.stat().st_size:  # also the size of a device
            raise _not_a_kernel(kernel, "it is empty")
        data = kernel.read_bytes()
        elf = ElfTables(data)
        symbols = _symbols(elf, {b"mi_startup", b"version", *_MARKERS})
        if b"mi_startup" not in symbols:
            raise _not_a_kernel(kernel, "it has no mi_startup")
        sanitizers = Sanitizers(row for marker, row in _MARKERS.items() if marker in symbols)
        return KernelFacts(_build_id(elf), _version(elf, symbols), sanitizers, len(data))
    except OSError as error:
        raise _not_a_kernel(kernel, error.strerror or str(error)) from error
    except (ElfError, struct.error) as error:
        raise _not_a_kernel(
            kernel, f"it is not an ELF file of an {GUEST.name} kernel ({error})"
        ) from error


def _symbols(elf: ElfTables, wanted: set[bytes]) -> dict[bytes, int]:
    """Return the addresses of those of the symbols that the file has."""
    tables = [section for section in elf.sections if section.type == SectionType.SYMTAB]
    if len(tables) != 1 or tables[0].link >= len(elf.sections):
        raise ElfError("it has no symbol table")
    names = elf.content(elf.sections[tables[0].link])
    # By offset in the string table, as there are tens of thousands of symbols.
    offsets = {names.find(b"\0%b\0" % name) + 1: name for name in wanted}
    offsets.pop(0, None)
    symbols = elf.content(tables[0])
    whole = len(symbols) - len(symbols) % _SYMBOL.size
    return {
        offsets[name]: address
        for name, _, _, _, address, _ in _SYMBOL.iter_unpack(symbols[:whole])
        if name in offsets
    }


def _version(elf: ElfTables, symbols: Mapping[bytes, int]) -> str:
    address = symbols.get(b"version")
    for segment in elf.segments(SegmentType.LOAD):
        start = segment.vaddr
        if address is not None and start <= address < start + segment.filesz:
            length = min(_VERSION_BYTES, start + segment.filesz - address)
            data = elf.read(segment.offset + address - start, length)
            return data.partition(b"\0")[0].decode("utf-8", "replace")
    return ""


def _build_id(elf: ElfTables) -> str:
    """Return the build ID, as ``sysctl_build_id()`` does (``sys/kern/kern_mib.c``)."""
    for section in elf.sections:
        if elf.name(section) == _BUILD_ID:
            note = elf.content(section)
            name_size, size, _ = _NOTE_HEAD.unpack_from(note)
            start = _NOTE_HEAD.size + name_size + -name_size % 4
            return note[start : start + size].hex()
    return ""


def symbol_addresses(kernel: Path, names: Iterable[str]) -> dict[str, int]:
    """Return the addresses of those of the symbols that a kernel has.

    Raises:
        UsageError: the kernel is not an ELF file with symbols.
    """
    try:
        found = _symbols(ElfTables(kernel.read_bytes()), {name.encode() for name in names})
    except ElfError as error:
        raise _not_a_kernel(kernel, str(error)) from error
    return {name.decode(): address for name, address in found.items()}


def source_names(kernel: Path) -> frozenset[str]:
    """Return the names of source files in the line tables of a kernel, without directories.

    Raises:
        UsageError: the kernel is not an ELF file.
    """
    try:
        elf = ElfTables(kernel.read_bytes())
        tables = [each for each in elf.sections if elf.name(each) in _LINE_TABLES]
        found = (name for each in tables for name in _SOURCE.findall(elf.content(each)))
        return frozenset(name.decode("ascii") for name in found)
    except ElfError as error:
        raise _not_a_kernel(kernel, f"it is not an ELF file ({error})") from error


def _not_a_kernel(kernel: Path, cause: str) -> UsageError:
    return UsageError(
        f"{kernel} is not a FreeBSD kernel: {cause}",
        remedy=f"pass a FreeBSD/{GUEST.name} kernel, such as --kernel /boot/kernel/kernel",
    )


def content_digest(kernel: KernelArtifact) -> str:
    """Return a hash of all sections that are loaded: kernels with equal hashes behave equally.

    Hashes of whole files would differ with the line numbers in the debug information.

    Raises:
        UsageError: the kernel is not an ELF file.
    """
    digest = hashlib.sha256()
    try:
        elf = ElfTables(kernel.kernel.read_bytes())
        for section in elf.sections:
            name = elf.name(section)
            if section.is_loaded and name != _BUILD_ID:
                digest.update(b"%b %d %d " % (name, section.addr, section.size))
                digest.update(elf.content(section))
    except ElfError as error:
        raise _not_a_kernel(kernel.kernel, f"it is not an ELF file ({error})") from error
    if kernel.loader is not None:
        digest.update(kernel.loader.read_bytes())
    return digest.hexdigest()[:40]
