"""The model of arenas: what it keeps, and what the kernel does not survive."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.subsystems.vmem.cases import VMEM_CASES
from harness.subsystems.vmem.check.generate import random_operations, random_setup, random_steps
from harness.subsystems.vmem.check.trace import Trace, parse_trace, run_trace
from harness.subsystems.vmem.model.arena import Arena, Fit
from harness.subsystems.vmem.model.operations import Alloc, operation_text, parse_operation
from harness.subsystems.vmem.model.player import Player, is_taken
from harness.subsystems.vmem.model.tag import (
    FatalCall,
    KernelFault,
    TagType,
    order_to_size,
    size_to_order,
)

SEEDS = st.integers(0, 1 << 32)
CASES = {case.name: case for case in VMEM_CASES}


@given(SEEDS)
def test_random_operations_are_taken_and_read_back_from_their_text(seed: int) -> None:
    rng = random.Random(seed)
    setup = random_setup(rng)
    operations = random_operations(rng, setup, 60)
    assert is_taken(setup, operations)
    assert tuple(parse_operation(operation_text(each)) for each in operations) == operations
    trace = Trace(setup, operations)
    assert parse_trace(str(trace)) == trace


@given(SEEDS)
def test_what_is_held_is_apart_and_as_it_was_asked_for(seed: int) -> None:
    rng = random.Random(seed)
    setup = random_setup(rng)
    player = Player(setup)
    held: dict[int, tuple[int, Alloc]] = {}
    for operation, seen in random_steps(rng, setup, 60):
        player.play(operation)
        if isinstance(operation, Alloc) and not seen.error:
            address, want = seen.address, operation.want
            last = address + operation.size - 1
            assert address % (want.align or setup.quantum) == want.phase
            assert want.minaddr <= address
            assert last <= want.maxaddr
            assert not want.nocross or address // want.nocross == last // want.nocross
            held[operation.slot] = (address, operation)
        held = {slot: each for slot, each in held.items() if slot in player.slots}
        ends = sorted((address, address + alloc.size) for address, alloc in held.values())
        assert all(first[1] <= second[0] for first, second in pairwise(ends))
        assert seen.maxfree <= seen.free


@given(SEEDS)
def test_tags_between_spans_tile_them(seed: int) -> None:
    """What is not in use is free, and in one list by size, unless it was joined at the cursor."""
    rng = random.Random(seed)
    arenas: list[Arena] = []

    class Watched(Arena):
        def __init__(self, *words: object) -> None:
            super().__init__(*words)  # type: ignore[arg-type]
            arenas.append(self)

    setup = random_setup(rng)
    player = Player(setup, Watched)
    for operation, _ in random_steps(rng, setup, 60):
        player.play(operation)
    for arena in arenas:
        inside = [tag for tag in arena.vm_seglist if tag.bt_type in (TagType.FREE, TagType.BUSY)]
        spans = [tag for tag in arena.vm_seglist if tag.bt_type.value <= TagType.SPAN_STATIC]
        assert sum(tag.bt_size for tag in inside) == arena.vm_size
        assert sum(tag.bt_size for tag in inside if tag.bt_type is TagType.BUSY) == arena.vm_inuse
        assert len(spans) <= len(inside)
        listed = [tag for tags in arena.vm_freelist for tag in tags]
        assert {id(tag) for tag in listed} == {
            id(tag) for tag in inside if tag.bt_type is TagType.FREE
        }


@given(st.integers(1, 1 << 40))
def test_a_list_has_sizes_from_its_least_to_the_next_ones(size: int) -> None:
    order = size_to_order(size)
    assert order_to_size(order) <= size < order_to_size(order + 1)


FAULTS = [
    # fewer than one quantum is left over, of which no list has a free segment
    ("nextfit-unrounded", "vm_quantum_mask"),
    # the cursor is first, as it is in a new arena, and nothing fits
    ("nextfit-forever", "never ends"),
    # a second import without new tags
    ("import-twice", "insufficient free tags"),
    # the segment that is joined at the cursor is a whole span, and goes back
    ("nextfit-release", "released the arena's lock"),
]


@pytest.mark.parametrize(("name", "why"), FAULTS)
def test_a_trace_may_end_with_a_valid_call_that_the_kernel_does_not_survive(
    name: str, why: str
) -> None:
    trace = parse_trace(CASES[name].trace)
    assert not trace.is_taken
    *before, last = run_trace(trace)
    assert why in last.result
    assert all("survive" not in step.result for step in before)


@pytest.mark.parametrize(("name", "why"), FAULTS)
def test_nothing_may_follow_such_a_call(name: str, why: str) -> None:
    with pytest.raises(KernelFault, match=why):
        parse_trace(f"{CASES[name].trace}free slot=0\n")


def test_a_call_that_violates_the_interface_is_refused_even_at_the_end() -> None:
    text = "arena quantum=16 base=16 size=160\nalloc slot=0 size=16 fit=next maxaddr=64"
    with pytest.raises(UsageError, match="minaddr == VMEM_ADDR_MIN") as caught:
        parse_trace(text)
    assert isinstance(caught.value, FatalCall)
    assert not isinstance(caught.value, KernelFault)


def test_segments_joined_at_the_cursor_are_refused_to_others() -> None:
    *_, last = run_trace(parse_trace(CASES["nextfit-misfiled"].trace))
    assert (last.values["error"], last.values["free"], last.values["alloc"]) == (12, 128, 0)


def test_what_is_joined_at_the_cursor_stays_in_its_list_and_is_not_found_by_its_size() -> None:
    arena = Arena(16)
    arena.vmem_add(16, 128)
    assert [arena.vmem_xalloc(16, Fit.NEXT) for _ in range(2)] == [16, 32]
    arena.vmem_xfree(16)
    arena.vmem_xfree(32)
    assert arena.vmem_xalloc(256, Fit.NEXT) is None
    assert (arena.vm_size, arena.vm_inuse) == (128, 0)
    assert arena.vmem_xalloc(128, Fit.BEST) is None
    assert arena.maxfree < 128
    assert arena.vmem_xalloc(128, Fit.NEXT) == 16
