"""The symbols of object files, read without a process: a build would wait longer for llvm-nm."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from harness.errors import InfraError
from harness.kernel.elftables import ElfTables, SectionType

_LOCAL: Final = 0
_SYMBOL: Final = struct.Struct("<IBBHQQ")


class Symbol(NamedTuple):
    """An entry of an ELF symbol table.

    Args:
        name: of the symbol.
        value: its address.
        is_global: whether other objects see it.
        is_defined: whether this object has it.
        is_code: whether it lies in a section that is executed.
    """

    name: str
    value: int
    is_global: bool
    is_defined: bool
    is_code: bool


def read_symbols(path: Path) -> list[Symbol]:
    """The named symbols of an object file or a program.

    Raises:
        InfraError: it is not an ELF file of the guests' architecture, whose code the host
            runs, or is damaged.
    """
    data = path.read_bytes()
    try:
        return list(_symbols(data))
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise InfraError(
            f"{path.name} is not an object file: {error}", remedy="check it in a guest: --on guest"
        ) from error


def _symbols(data: bytes) -> Iterator[Symbol]:
    tables = ElfTables(data)
    sections = tables.sections
    for section in sections:
        if section.type != SectionType.SYMTAB:
            continue
        names = tables.content(sections[section.link])
        for name, info, _, index, value, _ in _SYMBOL.iter_unpack(tables.content(section)):
            text = names[name : names.index(b"\0", name)].decode("ascii", "replace")
            if text:
                is_code = index < len(sections) and sections[index].is_executed
                yield Symbol(text, value, info >> 4 != _LOCAL, index != 0, is_code)


def undefined_in(paths: Iterable[Path]) -> set[str]:
    """The symbols that objects use and none of them defines."""
    used, defined = set(), set()
    for path in paths:
        for symbol in read_symbols(path):
            if not symbol.is_defined:
                used.add(symbol.name)
            elif symbol.is_global:
                defined.add(symbol.name)
    return used - defined
