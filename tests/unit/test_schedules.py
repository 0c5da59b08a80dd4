"""Schedules of threads: their text, and a search that runs each of them once."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduled_machine import Machine

from harness.check.shrink import shrink
from harness.onhost.schedules import (
    Schedule,
    Switches,
    SwitchPoint,
    SystematicSearch,
    parse_schedule,
    read_points,
    read_switches,
)

SWITCHES = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(1, 4)), unique_by=lambda each: each[0]
).map(lambda switches: tuple(sorted(switches)))


@given(SWITCHES, st.booleans())
def test_a_schedule_is_read_back_as_it_was_written(switches: Switches, accesses: bool) -> None:
    schedule = Schedule(switches, accesses)
    assert parse_schedule(str(schedule).split()) == schedule


@pytest.mark.parametrize("line", ["schedule thread5@1", "schedule thread1@9 thread2@3",
                                  "schedule thread1@3 thread2@3", "schedule now"])  # fmt: skip
def test_what_is_no_schedule_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="schedule"):
        parse_schedule(line.split())


def test_points_and_switches_are_read_from_what_a_program_tells() -> None:
    line = "!points 0300o0 0>2 2301lab 17>1"
    assert read_points(line) == (SwitchPoint(0, 3, 0, "o", 0), SwitchPoint(2, 3, 1, "l", 0xAB))
    assert read_switches(line) == ((0, 2), (17, 1))
    with pytest.raises(ValueError, match="not a switch point"):
        read_points("!points 9300o0")


def test_the_usual_thread_is_the_one_that_ran_or_the_next_by_number() -> None:
    assert SwitchPoint(2, 0b1111, 0, "l", 1).usual == 2
    assert SwitchPoint(2, 0b1101, 0, "b", 1).usual == 3
    assert SwitchPoint(4, 0b0110, 0, "e", 0).usual == 2
    assert list(SwitchPoint(2, 0b1101, 0, "b", 1).others) == [1, 4]


def searched(machine: Machine, preemptions: int, *, equal: bool = False) -> list[Switches]:
    search = SystematicSearch(preemptions, random.Random(1))
    given_out: list[Switches] = []
    while (equal or not search.only_equal_left) and (taken := search.take(7)):
        for switches in taken:
            points, _ = machine.run(switches)
            search.ran(switches, points[switches[-1][0] if switches else 0 :])
        given_out += taken
    return given_out


def order_of_each_object(done: Sequence[tuple[int, int]]) -> tuple[object, ...]:
    """What tells runs apart: equal if they are equal in happens-before order.

    Additions between two reads of an object have no order.
    """
    objects = sorted({abs(accessed) for _, accessed in done})
    orders = []
    for each in objects:
        order: list[tuple[int, ...]] = []
        for adds, group in itertools.groupby(
            (one for one in done if abs(one[1]) == each), key=lambda one: one[1] < 0
        ):
            threads = [thread for thread, _ in group]
            order.append(tuple(sorted(threads) if adds else threads))
        orders.append(tuple(order))
    return tuple(orders)


PROGRAMS = st.lists(
    st.lists(st.sampled_from((1, 2, 3, -1, -2)), min_size=1, max_size=3), min_size=2, max_size=3
)


@given(PROGRAMS, st.integers(0, 2))
def test_each_schedule_is_given_once(program: list[list[int]], preemptions: int) -> None:
    given_out = searched(Machine(dict(enumerate(program, start=1))), preemptions, equal=True)
    assert len(set(given_out)) == len(given_out)


@given(PROGRAMS)
def test_no_order_of_accesses_within_the_bound_is_missed(program: list[list[int]]) -> None:
    """Against all merges of the threads' accesses, with those that need few preemptions."""
    machine = Machine(dict(enumerate(program, start=1)))
    found = {order_of_each_object(machine.run(each)[1]) for each in searched(machine, 2)}
    everything = [thread for thread, objects in machine.threads.items() for _ in objects]
    for merge in set(itertools.permutations(everything)):
        if preemptions_of(merge, machine) <= 2:
            assert order_of_each_object(run_in(merge, machine)) in found


def run_in(merge: Sequence[int], machine: Machine) -> list[tuple[int, int]]:
    left = {thread: list(objects) for thread, objects in machine.threads.items()}
    return [(thread, left[thread].pop(0)) for thread in merge]


def preemptions_of(merge: Sequence[int], machine: Machine) -> int:
    counts = {thread: len(objects) for thread, objects in machine.threads.items()}
    taken = 0
    for before, after in itertools.pairwise(merge):
        counts[before] -= 1
        taken += before != after and counts[before] > 0
    return taken


def test_those_with_fewer_preemptions_come_first() -> None:
    machine = Machine({1: (1, 2, 1), 2: (2, 1)})
    counts = []
    for switches in searched(machine, 2):
        points, _ = machine.run(switches)
        counts.append(sum(not points[number].is_free for number, _ in switches))
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2}


def test_a_preemption_before_what_no_other_thread_accesses_comes_last() -> None:
    machine = Machine({1: (1, 2), 2: (3, 4)})
    assert searched(machine, 2) == [(), ((0, 2),)]
    assert searched(machine, 2, equal=True)[:2] == [(), ((0, 2),)]


@given(PROGRAMS)
def test_with_those_that_are_equal_no_merge_within_the_bound_is_missed(
    program: list[list[int]],
) -> None:
    machine = Machine(dict(enumerate(program, start=1)))
    found = {tuple(thread for thread, _ in machine.run(each)[1])
             for each in searched(machine, 2, equal=True)}  # fmt: skip
    everything = [thread for thread, objects in machine.threads.items() for _ in objects]
    merges = set(itertools.permutations(everything))
    assert {merge for merge in merges if preemptions_of(merge, machine) <= 2} == found


def test_switches_to_a_thread_that_reads_the_object_come_first() -> None:
    search = SystematicSearch(1, random.Random(1))
    assert search.take(1) == [()]
    everybody, of_one, of_two = 0b111, 0b001, 0b010
    search.ran((), [
        SwitchPoint(3, 0b100, 0, "a", 5), SwitchPoint(2, of_two, 0, "d", 5),
        SwitchPoint(1, of_one, 0, "a", 5), SwitchPoint(1, everybody, 0, "d", 5),
    ])  # fmt: skip
    assert [search.take(1), search.take(1)] == [[((3, 3),)], [((3, 2),)]]


def test_a_long_schedule_is_told_in_commands_that_a_program_takes() -> None:
    schedule = Schedule(tuple((100_000 + number, 1) for number in range(500)), accesses=True)
    commands = schedule.commands("end=1")
    assert max(map(len, commands)) < 1000
    assert commands[-1] == "interleave end=1 schedule=told accesses=1"
    told = ",".join(command.partition("=")[2] for command in commands[:-1])
    assert told == ",".join(f"{point}>{thread}" for point, thread in schedule.switches)
    assert Schedule().commands() == ("interleave schedule=told",)


def test_a_schedule_is_shrunk_to_the_switches_that_it_needs() -> None:
    schedule = Schedule(tuple((number, 1 + number % 2) for number in range(20)), accesses=True)
    needed = {(4, 1), (13, 2)}
    shortest = shrink(schedule, lambda each: needed <= set(each.switches), 200)
    assert shortest == Schedule(((4, 1), (13, 2)), accesses=True)
