"""The walk of a guest's page tables finds what is mapped, and survives hostile ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_memory import LARGE, NO_EXECUTE, PAGE, PRESENT, PROMOTED, MadeMemory

from harness.arch import GUEST
from harness.debug import pagetables
from harness.debug.pagetables import Mapped, kernel_space, upper_entries

KERNEL = 0xFFFFFFFF80000000
DIRECT = 0xFFFFF80000000000
MIB, GIB = 1 << 20, 1 << 30


def ranges(memory: MadeMemory) -> list[Mapped]:
    space = kernel_space(memory.read, memory.root, memory.levels)
    assert space.cut == ""
    return list(space.ranges)


@pytest.mark.parametrize("levels", [4, 5])
@pytest.mark.parametrize(
    ("level", "size"), [(0, PAGE), (1, 2 * MIB), (2, GIB)], ids=["4K", "2M", "1G"]
)
def test_a_page_of_each_size_is_found(levels: int, level: int, size: int) -> None:
    memory = MadeMemory(levels=levels)
    memory.map(KERNEL, 3 * size, level)
    assert ranges(memory) == [(KERNEL, 3 * size, size)]


def test_the_lowest_address_of_five_levels_is_extended_from_57_bits() -> None:
    memory = MadeMemory(levels=5)
    memory.map(0xFF00000000000000, 0, 0)
    assert ranges(memory) == [(0xFF00000000000000, 0, PAGE)]


def test_adjacent_pages_are_one_range_and_others_are_not() -> None:
    memory = MadeMemory()
    for number, physical in enumerate((5, 6, 7, 9)):
        memory.map(KERNEL + number * PAGE, physical * PAGE)
    assert ranges(memory) == [
        (KERNEL, 5 * PAGE, 3 * PAGE),
        (KERNEL + 3 * PAGE, 9 * PAGE, PAGE),
    ]


@pytest.mark.parametrize("bit", [*range(52, 63), 63])
def test_bits_that_the_kernel_uses_itself_are_no_address(bit: int) -> None:
    memory = MadeMemory()
    memory.map(DIRECT, 4 * MIB, level=1, more=1 << bit)
    assert ranges(memory) == [(DIRECT, 4 * MIB, 2 * MIB)]


def test_the_attribute_bit_of_a_large_page_is_no_address() -> None:
    memory = MadeMemory()
    memory.map(DIRECT, 4 * MIB, level=1, more=1 << 12 | PROMOTED | NO_EXECUTE)
    assert ranges(memory) == [(DIRECT, 4 * MIB, 2 * MIB)]


def test_the_users_half_is_left_out() -> None:
    memory = MadeMemory()
    memory.map(0x400000, 7 * PAGE)
    assert ranges(memory) == []


def test_the_slot_in_which_tables_map_themselves_is_not_followed() -> None:
    memory = MadeMemory()
    memory.map(KERNEL, 7 * PAGE)
    memory.set_entry(memory.root, 256, memory.root | PRESENT)
    assert ranges(memory) == [(KERNEL, 7 * PAGE, PAGE)]


def test_a_table_beyond_the_memory_maps_nothing() -> None:
    memory = MadeMemory()
    memory.set_entry(memory.root, 511, GUEST.page_tables.address | PRESENT)
    assert ranges(memory) == []


def test_a_root_beyond_the_memory_maps_nothing() -> None:
    memory = MadeMemory()
    assert kernel_space(memory.read, 1 << 40, 4).ranges == ()
    assert upper_entries(memory.read, 1 << 40) == 0


def test_tables_that_lead_back_to_one_another_end() -> None:
    memory = MadeMemory()
    first, second = memory.table(), memory.table()
    for index in range(512):
        memory.set_entry(memory.root, index, first | PRESENT)
    memory.set_entry(first, 0, second | PRESENT)
    memory.set_entry(second, 0, first | PRESENT)
    memory.set_entry(second, 1, memory.root | PRESENT)
    assert ranges(memory) == []


def test_tables_that_are_used_everywhere_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagetables, "MOST_TABLES", 300)
    memory = MadeMemory()
    tables = [memory.table() for _ in range(3)]
    for above, below in zip([memory.root, *tables[:2]], tables, strict=True):
        for index in range(512):
            memory.set_entry(above, index, below | PRESENT)
    space = kernel_space(memory.read, memory.root, 4)
    assert space.cut == "there are more than 300 page tables"


def test_too_many_ranges_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pagetables, "MOST_RANGES", 100)
    memory = MadeMemory()
    for number in range(200):
        memory.map(KERNEL + 2 * number * PAGE, number * PAGE)
    space = kernel_space(memory.read, memory.root, 4)
    assert len(space.ranges) == 100
    assert space.cut == "more than 100 ranges are mapped"


PAGES = st.dictionaries(st.integers(0, (1 << 35) - 1), st.integers(0, 1 << 20), max_size=8)


@given(PAGES, st.sampled_from([4, 5]))
def test_every_mapped_page_is_found_at_its_address(pages: dict[int, int], levels: int) -> None:
    memory = MadeMemory(pages=64, levels=levels)
    base = (1 << 64) - (1 << 47)
    for virtual, physical in pages.items():
        memory.map(base + virtual * PAGE, physical * PAGE)
    found = {
        (each.virtual + at, each.physical + at)
        for each in ranges(memory)
        for at in range(0, each.size, PAGE)
    }
    assert found == {(base + key * PAGE, value * PAGE) for key, value in pages.items()}


ENTRIES = st.lists(
    st.tuples(
        st.integers(0, 15), st.integers(0, 511), st.integers(0, 17),
        st.sampled_from([PRESENT, PRESENT | LARGE, 0, PRESENT | PROMOTED | NO_EXECUTE]),
    ),
    max_size=40,
)  # fmt: skip


@given(ENTRIES, st.integers(0, 17), st.sampled_from([4, 5]))
def test_any_content_of_memory_gives_disjoint_rising_ranges(
    entries: list[tuple[int, int, int, int]], root: int, levels: int
) -> None:
    memory = MadeMemory(pages=16, levels=levels)
    for table, index, target, bits in entries:
        memory.set_entry(table * PAGE, index, target * PAGE | bits)
    space = kernel_space(memory.read, root * PAGE, levels)
    end = 1 << 63
    for each in space.ranges:
        assert each.virtual >= end
        assert each.size > 0
        end = each.virtual + each.size
    assert end <= 1 << 64
