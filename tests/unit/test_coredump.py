"""A dump of QEMU's gets the kernel's addresses; other files are refused in words."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_memory import PAGE, MadeMemory

from harness.debug.coredump import DumpError, PhysicalMemory, add_kernel_addresses
from harness.kernel.elftables import ElfTables, SegmentType

KERNEL = 0xFFFFFFFF80000000
MIB = 1 << 20


def loads(path: Path) -> list[tuple[int, int, bytes]]:
    """Address, physical address and content of each segment."""
    data = path.read_bytes()
    return [
        (each.vaddr, each.paddr, data[each.offset : each.offset + each.filesz])
        for each in ElfTables(data).segments(SegmentType.LOAD)
    ]


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("levels", [4, 5])
def test_the_kernels_addresses_lead_to_their_memory(tmp_path: Path, levels: int) -> None:
    memory = MadeMemory(levels=levels)
    memory.write(20 * PAGE, b"here")
    memory.map(KERNEL, 20 * PAGE)
    dump = written(tmp_path / "core", memory.dump())
    result = add_kernel_addresses(dump)
    assert (result.ranges, result.mapped, result.cut) == (1, PAGE, "")
    assert loads(dump) == [(KERNEL, 20 * PAGE, b"here".ljust(PAGE, b"\0"))]


def test_registers_stay_in_the_dump(tmp_path: Path) -> None:
    memory = MadeMemory()
    memory.map(KERNEL, 20 * PAGE)
    state = memory.cpu_state()
    dump = written(tmp_path / "core", memory.dump(state, state))
    add_kernel_addresses(dump)
    data = dump.read_bytes()
    (note,) = ElfTables(data).segments(SegmentType.NOTE)
    assert data[note.offset : note.offset + note.filesz].count(state) == 2


def test_a_large_page_is_cut_where_the_memory_ends_and_at_its_parts(tmp_path: Path) -> None:
    memory = MadeMemory(pages=64)
    memory.map(KERNEL, 0, level=1)
    dump = written(tmp_path / "core", memory.dump())
    add_kernel_addresses(dump)
    half = 32 * PAGE
    assert [(virtual, physical, len(data)) for virtual, physical, data in loads(dump)] == [
        (KERNEL, 0, half),
        (KERNEL + half, half, half),
    ]


def test_the_cpu_whose_tables_have_the_kernel_is_used(tmp_path: Path) -> None:
    memory = MadeMemory()
    memory.map(KERNEL, 20 * PAGE)
    user = MadeMemory()  # its root has nothing of the kernel
    user.root = memory.table()
    dump = written(
        tmp_path / "core",
        memory.dump(memory.cpu_state(paging=False), user.cpu_state(), memory.cpu_state()),
    )
    assert add_kernel_addresses(dump).ranges == 1


def test_before_paging_is_on_there_are_no_addresses(tmp_path: Path) -> None:
    memory = MadeMemory()
    dump = written(tmp_path / "core", memory.dump(memory.cpu_state(paging=False)))
    before = dump.read_bytes()
    with pytest.raises(DumpError, match="no CPU uses page tables"):
        add_kernel_addresses(dump)
    assert dump.read_bytes() == before


def test_tables_without_the_kernel_are_no_addresses(tmp_path: Path) -> None:
    dump = written(tmp_path / "core", MadeMemory().dump())
    with pytest.raises(DumpError, match="map no memory of the kernel"):
        add_kernel_addresses(dump)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"no dump", "header"),
        (MadeMemory().dump()[:9000], "cut off"),
        (MadeMemory().dump().replace(b"\x04\x00\x3e", b"\x02\x00\x3e", 1), "not a core file"),
        (MadeMemory().dump().replace(struct.pack("<I", 4), bytes(4), 1), "no registers"),
    ],
    ids=["empty", "text", "cut", "program", "no notes"],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes, why: str) -> None:
    with pytest.raises(DumpError, match=why):
        add_kernel_addresses(written(tmp_path / "core", data))


@given(st.integers(0, 3000), st.binary(min_size=1, max_size=16))
def test_damage_is_refused_or_read_within_the_file(at: int, damage: bytes) -> None:
    memory = MadeMemory()
    memory.map(KERNEL, 20 * PAGE)
    data = bytearray(memory.dump())
    data[at : at + len(damage)] = damage
    try:
        physical = PhysicalMemory(bytes(data))
        segments = list(physical.segments(physical.kernel_space()))
    except DumpError:
        return
    assert all(each.offset + each.filesz <= len(data) for each in segments)
