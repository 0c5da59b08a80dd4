"""The search for a schedule that ends a program: few preemptions first, then random priorities."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from scheduled_machine import Machine

from harness.onhost.ending import EndingKind, HostEnding
from harness.onhost.interleaving import Interleaving
from harness.onhost.run import Tried
from harness.onhost.schedules import Schedule, Switches, read_switches

Accesses = Sequence[tuple[int, int]]
BROKEN = HostEnding(EndingKind.INVARIANT, "item-twice: an item is in two places")


@dataclass
class FakeProgram:
    """Answers as a program whose threads are those of a machine.

    Args:
        machine: the threads.
        is_broken: whether accesses in that order end it.
        only_accesses: whether that shows only where loads and stores are switch points.
    """

    machine: Machine
    is_broken: Callable[[Accesses], bool]
    only_accesses: bool = False
    schedules: list[Schedule] = field(default_factory=list)

    def tried(self, lists: Sequence[Sequence[str]]) -> list[Tried]:
        return [self._one(commands) for commands in lists]

    def _one(self, commands: Sequence[str]) -> Tried:
        *switches, last = commands
        words = dict(word.partition("=")[::2] for word in last.split()[1:])
        chosen: Switches = read_switches(" ".join(switches).replace(",", " "))
        if "seed" in words:
            rng = random.Random(int(words["seed"]))
            threads = len(self.machine.threads)
            chosen = tuple((at, rng.randint(1, threads)) for at in range(12) if rng.random() < 0.5)
        accesses = words.get("accesses", "0") == "1"
        self.schedules.append(Schedule(chosen, accesses))
        points, done = self.machine.run(chosen)
        told = [f"{p.last}{p.able:x}{p.cpu:02x}{p.kind}{p.object:x}" for p in points]
        notes = " ".join(["!points", *told[int(words["log"]) :]]) if "log" in words else ""
        if "seed" in words:
            notes = " ".join(["!points", *(f"{point}>{thread}" for point, thread in chosen)])
        ending = BROKEN if self.is_broken(done) and (accesses or not self.only_accesses) else None
        fields = {} if ending else {"points": str(len(points))}
        return Tried((notes,) if notes else (), fields, ending)


def interleaving(program: FakeProgram, limit: int = 1000) -> Interleaving:
    return Interleaving(limit=limit, tried=program.tried)


THREADS = Machine({1: (1, 2, 1), 2: (1, 2)})
OPERATIONS = 5


def lost_update(done: Accesses) -> bool:
    """Thread 2 comes between the two accesses of thread 1 to the first object."""
    order = [thread for thread, accessed in done if accessed == 1]
    return order == [1, 2, 1]


def test_a_fault_is_found_with_as_few_preemptions_as_it_needs() -> None:
    found = interleaving(FakeProgram(THREADS, lost_update)).search(2, OPERATIONS, "seed")
    assert found is not None
    points, done = THREADS.run(found.switches)
    assert lost_update(done)
    assert sum(not points[number].is_free for number, _ in found.switches) == 1


def test_a_fault_between_loads_and_stores_is_found_by_a_schedule_of_accesses() -> None:
    program = FakeProgram(THREADS, lost_update, only_accesses=True)
    found = interleaving(program).search(2, OPERATIONS, "seed")
    assert found is not None
    assert found.accesses


def test_what_holds_in_all_schedules_is_exhausted_within_the_limit_and_counted() -> None:
    program = FakeProgram(THREADS, lambda _: False)
    search = interleaving(program, limit=200)
    assert search.search(2, OPERATIONS, "seed") is None
    counts = search.counts
    assert (counts.programs, counts.exhausted, counts.threads) == (1, 1, 2)
    assert counts.schedules == len(program.schedules) == 200
    assert counts.operations == 200 * OPERATIONS
    assert counts.points > 200


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_no_more_schedules_are_run_than_the_limit(limit: int) -> None:
    program = FakeProgram(THREADS, lambda _: False)
    interleaving(program, limit=limit).search(2, OPERATIONS, "seed")
    assert len(program.schedules) <= limit


def test_a_long_program_is_run_by_random_priorities_and_its_schedule_shrunk() -> None:
    found = interleaving(FakeProgram(THREADS, lost_update)).search(2, 100, "seed")
    assert found is not None
    assert lost_update(THREADS.run(found.switches)[1])
    for place in range(len(found)):
        fewer = found.without(frozenset({place}))
        assert not lost_update(THREADS.run(fewer.switches)[1])


def test_the_same_seed_runs_the_same_schedules() -> None:
    programs = [FakeProgram(THREADS, lambda _: False) for _ in range(2)]
    for program in programs:
        interleaving(program, limit=100).search(2, OPERATIONS, "seed")
    assert programs[0].schedules == programs[1].schedules
