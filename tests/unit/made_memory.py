"""Made physical memory with page tables, and dumps of it as QEMU writes them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from harness.arch import GUEST

PAGE = GUEST.page
PRESENT, LARGE = GUEST.page_tables.present, GUEST.page_tables.large
PROMOTED = 1 << 54  # PG_PROMOTED, sys/amd64/include/pmap.h
NO_EXECUTE = 1 << 63


@dataclass
class MadeMemory:
    """Physical memory from address 0, with a page for each table.

    Args:
        pages: its size in pages.
        levels: the number of levels of its page tables.
    """

    pages: int = 64
    levels: int = 4
    root: int = field(init=False)
    _data: bytearray = field(init=False)
    _next: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        self._data = bytearray(self.pages * PAGE)
        self.root = self.table()

    @property
    def data(self) -> bytes:
        return bytes(self._data)

    def table(self) -> int:
        """Return the address of a new page."""
        self._next += 1
        return (self._next - 1) * PAGE

    def write(self, address: int, data: bytes) -> None:
        self._data[address : address + len(data)] = data

    def read(self, address: int) -> bytes | None:
        page = bytes(self._data[address : address + PAGE])
        return page if len(page) == PAGE else None

    def entry(self, table: int, index: int) -> int:
        return int(struct.unpack_from("<Q", self._data, table + index * 8)[0])

    def set_entry(self, table: int, index: int, value: int) -> None:
        struct.pack_into("<Q", self._data, table + index * 8, value)

    def map(self, virtual: int, physical: int, level: int = 0, more: int = 0) -> None:
        """Map one page, or one large page of a level."""
        table = self.root
        for above in range(self.levels - 1, level, -1):
            index = virtual >> 12 + 9 * above & 511
            if not self.entry(table, index):
                self.set_entry(table, index, self.table() | PRESENT)
            table = self.entry(table, index) & GUEST.page_tables.address
        large = LARGE if level else 0
        self.set_entry(table, virtual >> 12 + 9 * level & 511, physical | PRESENT | large | more)

    def cpu_state(self, *, paging: bool = True) -> bytes:
        """Return QEMU's note of a CPU, ``QEMUCPUState``."""
        cr0, cr4 = (1 << 31 if paging else 0), (1 << 12 if self.levels == 5 else 0)
        return bytes(8 + 18 * 8 + 10 * 24) + struct.pack("<6Q", cr0, 0, 0, self.root, cr4, 0)

    def dump(self, *states: bytes) -> bytes:
        """Return a dump of QEMU's with ``paging=false``; the memory is in two parts."""
        notes = b"".join(
            struct.pack("<III", 5, len(state), 0) + b"QEMU\0\0\0\0" + state
            for state in states or (self.cpu_state(),)
        )
        half = self.pages // 2 * PAGE
        start = 64 + 3 * 56
        memory_at = start + len(notes)
        header = struct.pack(
            "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01".ljust(16, b"\0"), 4, GUEST.elf_machine, 1,
            0, 64, 0, 0, 64, 56, 3, 64, 0, 0,
        )  # fmt: skip
        parts = (
            (4, 0, start, 0, 0, len(notes), len(notes), 0),
            (1, 0, memory_at, 0, 0, half, half, 0),
            (1, 0, memory_at + half, 0, half, len(self.data) - half, len(self.data) - half, 0),
        )
        segments = b"".join(struct.pack("<IIQQQQQQ", *part) for part in parts)
        return header + segments + notes + self.data
