"""The profile of a program that counts what is executed, for llvm-profdata(1).

clang's runtime library would write it when a program exits. Host programs end in many ways, most of
them in copies (fork(2)), so that they count in a file instead; names, hashes and the places of
counters are read from the program's own sections. Source: LLVM's ``InstrProfData.inc``: a record of
``__llvm_prf_data`` begins with the MD5 of the function's name, its hash, and the address of its
counters, relative to the record; what follows depends on the version.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from harness.errors import InfraError
from harness.kernel.elftables import ElfTables

#: The file in a program's working directory that its counters are in; see ``c/hostside.c``.
COUNTERS: Final = "counters"

_HEAD: Final = struct.Struct("<QQq")
#: Sizes of a record, by LLVM's versions.
_STRIDES: Final = (48, 56, 64, 72, 80)
_COUNTER_SIZE: Final = 8
_MOST_COUNTERS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Record:
    name: bytes
    hash: int
    first: int


def text_profile(program: bytes, counters: bytes) -> bytes:
    """Return the profile of a program as text, which llvm-profdata(1) merges.

    Args:
        program: the program's file.
        counters: what it has counted, 64 bits each.

    Raises:
        InfraError: the program counts nothing, or its sections are of an unknown version.
    """
    try:
        sections = _sections(program)
        names = dict(_names(sections[b"__llvm_prf_names"][1]))
        data, start = sections[b"__llvm_prf_data"][1], sections[b"__llvm_prf_cnts"][0]
        records = _records(sections[b"__llvm_prf_data"][0], data, start, names)
    except (KeyError, ValueError, IndexError, struct.error) as error:
        raise InfraError(
            f"the program's counters cannot be read: {error}",
            remedy="use LLVM 14 to 19",
        ) from error
    values = [value for (value,) in struct.iter_unpack("<Q", counters[: len(counters) // 8 * 8])]
    records.sort(key=lambda record: record.first)
    ends = [*(record.first for record in records[1:]), len(values)]
    parts = []
    for record, end in zip(records, ends, strict=True):
        counted = values[record.first : end]
        lines = [b"%d" % number for number in (record.hash, len(counted), *counted)]
        parts.append(b"\n".join((record.name, *lines, b"")))
    return b"\n".join(parts)


def added(first: bytes, second: bytes) -> bytes:
    """Return the sums of the counters of two runs of one program."""
    pairs = itertools.zip_longest(
        struct.iter_unpack("<Q", first), struct.iter_unpack("<Q", second), fillvalue=(0,)
    )
    return b"".join(struct.pack("<Q", (one + other) % (1 << 64)) for (one,), (other,) in pairs)


def _sections(program: bytes) -> Mapping[bytes, tuple[int, bytes]]:
    """Return the address and the bytes of each section of a program."""
    tables = ElfTables(program)
    return {
        tables.name(section): (section.addr, tables.content(section)) for section in tables.sections
    }


def _names(section: bytes) -> Iterator[tuple[int, bytes]]:
    """Generate the names of functions with the first half of their MD5."""
    at = 0
    while at < len(section):
        if section[at] == 0:  # between the names of two objects
            at += 1
            continue
        size, at = _number(section, at)
        packed, at = _number(section, at)
        if packed:
            raise ValueError("names of functions are compressed")
        for name in section[at : at + size].split(b"\1"):
            digest = hashlib.md5(name, usedforsecurity=False).digest()
            yield int.from_bytes(digest[:8], "little"), name
        at += size


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return the ULEB128 number at an offset, and the offset behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def _records(address: int, data: bytes, counters: int, names: Mapping[int, bytes]) -> list[_Record]:
    """Return the records of functions: of the only size with which all have a known name."""
    for stride in _STRIDES:
        if not data or len(data) % stride:
            continue
        found = []
        for at in range(0, len(data), stride):
            name, digest, relative = _HEAD.unpack_from(data, at)
            first = (address + at + relative - counters) // _COUNTER_SIZE
            if name not in names or not 0 <= first < _MOST_COUNTERS:
                break
            found.append(_Record(names[name], digest, first))
        else:
            return found
    raise ValueError("records of functions have an unknown size")
