"""Walk of a guest's page tables: which physical memory the kernel's addresses are. Pure.

The tables are the guest's, so they are hostile: entries can point at their own table, out of
memory or all at one table. A table is not entered from itself or from a table below it, memory that
does not exist is left out, and the number of tables and of ranges is limited.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from harness.arch import GUEST

if TYPE_CHECKING:
    from harness.architecture import PageTables

MOST_TABLES: Final = 1 << 16
"""Most tables that are read. With pages of 4 KiB alone, that many map 128 GiB."""

MOST_RANGES: Final = 60_000
"""Most ranges; an ELF header counts up to 65,534 segments (``PN_XNUM``)."""

#: Returns a page of physical memory; None if there is no memory at that address.
ReadPage = Callable[[int], bytes | None]


class Mapped(NamedTuple):
    """A range of addresses that maps contiguous physical memory; all three in bytes."""

    virtual: int
    physical: int
    size: int


@dataclass(frozen=True, slots=True)
class AddressSpace:
    """The kernel's half of an address space.

    Args:
        ranges: mapped ranges, by address; adjacent ones are merged.
        cut: why ranges are missing; empty if none are.
    """

    ranges: tuple[Mapped, ...]
    cut: str = ""


def kernel_space(
    read: ReadPage, root: int, levels: int, form: PageTables = GUEST.page_tables
) -> AddressSpace:
    """Return the mappings of the upper half of the addresses, where kernels lie.

    Args:
        read: reads physical memory.
        root: the register that selects the first table.
        levels: the number of levels.
        form: the format of the tables.
    """
    walk = _Walk(read, form)
    ranges: list[Mapped] = []
    for piece in walk.upper_half(root & form.address, levels):
        last = ranges[-1] if ranges else None
        if last is not None and _adjoins(last, piece):
            ranges[-1] = last._replace(size=last.size + piece.size)
        elif len(ranges) == MOST_RANGES:
            return AddressSpace(tuple(ranges), f"more than {MOST_RANGES} ranges are mapped")
        else:
            ranges.append(piece)
    cut = f"there are more than {MOST_TABLES} page tables" if walk.exhausted else ""
    return AddressSpace(tuple(ranges), cut)


def upper_entries(read: ReadPage, root: int, form: PageTables = GUEST.page_tables) -> int:
    """Return how many entries of the first table are valid in the kernel's half.

    A CPU that runs a user's program can use a table with little of the kernel in it, and one that
    has not been started has none.
    """
    entries = _entries(read, root & form.address)
    return sum(entry & form.present for entry in entries[len(entries) // 2 :])


def _adjoins(before: Mapped, after: Mapped) -> bool:
    return (
        before.virtual + before.size == after.virtual
        and before.physical + before.size == after.physical
    )


def _entries(read: ReadPage, table: int) -> tuple[int, ...]:
    page = read(table)
    if page is None:
        return ()
    return struct.unpack(f"<{len(page) // 8}Q", page)


class _Walk:
    """One walk; ``exhausted`` is set when it has read ``MOST_TABLES`` tables."""

    def __init__(self, read: ReadPage, form: PageTables) -> None:
        self._read = read
        self._form = form
        self._page_bits = GUEST.page.bit_length() - 1
        self._left = MOST_TABLES
        self.exhausted = False

    def upper_half(self, table: int, levels: int) -> Iterator[Mapped]:
        level = levels - 1
        bits = self._page_bits + levels * self._form.index_bits
        extension = (1 << 64) - (1 << bits)  # addresses are sign-extended
        first = 1 << self._form.index_bits - 1
        yield from self._table(table, level, extension, (), first)

    def _table(
        self, table: int, level: int, base: int, above: tuple[int, ...], first: int = 0
    ) -> Iterator[Mapped]:
        form = self._form
        if self._left == 0:
            self.exhausted = True
            return
        self._left -= 1
        shift = self._page_bits + level * form.index_bits
        path = (*above, table)
        entries = _entries(self._read, table)
        for number in range(first, len(entries)):
            entry = entries[number]
            if not entry & form.present:
                continue
            address, virtual = entry & form.address, base + (number << shift)
            if level == 0 or (entry & form.large and level in form.large_levels):
                yield Mapped(virtual, address & -(1 << shift), 1 << shift)
            elif address not in path:
                yield from self._table(address, level - 1, virtual, path)
