"""The symbols of object files, read without a process: a build would wait longer for llvm-nm."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from harness.errors import InfraError

_SYMTAB: Final = 2
_LOCAL: Final = 0
_EXECUTED: Final = 0x4
_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
#: ELF, 64 bits, little-endian.
_MAGIC: Final = b"\x7fELF\x02\x01"


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
        InfraError: it is no ELF file of 64 bits, or damaged.
    """
    data = path.read_bytes()
    try:
        return list(_symbols(data))
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise InfraError(
            f"{path.name} is not an object file: {error}", remedy="check it in a guest: --on guest"
        ) from error


def _symbols(data: bytes) -> Iterator[Symbol]:
    header = _HEADER.unpack_from(data)
    if not header[0].startswith(_MAGIC):
        raise ValueError("no ELF of 64 bits")
    start, size, count = header[6], header[11], header[12]
    sections = [_SECTION.unpack_from(data, start + size * each) for each in range(count)]
    for section in sections:
        if section[1] != _SYMTAB:
            continue
        names = _content(data, sections[section[6]])
        for name, info, _, index, value, _ in _SYMBOL.iter_unpack(_content(data, section)):
            text = names[name : names.index(b"\0", name)].decode("ascii", "replace")
            if text:
                executed = index < count and bool(sections[index][2] & _EXECUTED)
                yield Symbol(text, value, info >> 4 != _LOCAL, index != 0, executed)


def _content(data: bytes, section: tuple[int, ...]) -> bytes:
    return data[section[4] : section[4] + section[5]]


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
