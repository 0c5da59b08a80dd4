"""Schedules of threads, and the systematic search over them. Pure.

A program numbers its switch points, at which another thread may go on, from 0
(``c/threads.c``). A schedule names the thread that goes on at some of them; at all others the
thread that runs goes on, or if it cannot, the next one by number. To take the CPU from a thread
that could go on is a preemption. Few of them show most faults (Musuvathi and Qadeer, Iterative
Context Bounding, 2007), so schedules with few are run first.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_SWITCH: Final = re.compile(r"thread([1-4])@([0-9]{1,9})", re.ASCII)
_POINT: Final = re.compile(r"([0-4])([0-9a-f])([0-9a-f]{2})([a-z])([0-9a-f]{1,16})", re.ASCII)
_TOLD: Final = re.compile(r"([0-9]{1,9})>([1-4])", re.ASCII)
#: Kinds of points right before something that other threads may see: operations of a trace, locks,
#: atomics, critical sections (by threads of the same CPU), wakeups, loads and stores. A preemption
#: at another point is equal in happens-before order to one at the next of these.
_SEEN_BY_OTHERS: Final = frozenset("olakwbm")

Switches = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Which thread goes on at which switch point.

    Args:
        switches: points with the thread that goes on, in order; at others the usual one does.
        accesses: whether loads and stores are switch points.
    """

    switches: Switches = ()
    accesses: bool = False

    def __str__(self) -> str:
        words = ["schedule", *(["accesses"] if self.accesses else [])]
        return " ".join([*words, *(f"thread{thread}@{point}" for point, thread in self.switches)])

    @property
    def told(self) -> str:
        """The arguments of the command that runs it."""
        switches = ",".join(f"{point}>{thread}" for point, thread in self.switches)
        return f"schedule={switches or 'none'}{' accesses=1' if self.accesses else ''}"

    def without(self, dropped: frozenset[int]) -> Schedule:
        """Less the switches at those places, counted from 0."""
        kept = (each for place, each in enumerate(self.switches) if place not in dropped)
        return Schedule(tuple(kept), self.accesses)

    def __len__(self) -> int:
        return len(self.switches)


def parse_schedule(words: Sequence[str]) -> Schedule:
    """Read a schedule's line, which begins with the word ``schedule``.

    Raises:
        ValueError: it is none; the words are the reason.
    """
    accesses = words[1:2] == ["accesses"]
    switches: list[tuple[int, int]] = []
    for word in words[2 if accesses else 1 :]:
        found = _SWITCH.fullmatch(word)
        if found is None:
            raise ValueError(f"a schedule has switches such as thread2@17, not {word}")
        switches.append((int(found[2]), int(found[1])))
    points = [point for point, _ in switches]
    if sorted(set(points)) != points:
        raise ValueError("a schedule's switch points are in order")
    return Schedule(tuple(switches), accesses)


class SwitchPoint(NamedTuple):
    """A switch point that was passed.

    Args:
        last: the thread that ran; 0 for none.
        able: a mask of the threads that can go on, thread 1 in the lowest bit.
        cpu: of the thread that ran.
        kind: a letter; see ``c/threads.h``.
        object: the address of what the thread is about to access.
    """

    last: int
    able: int
    cpu: int
    kind: str
    object: int

    @property
    def usual(self) -> int:
        """The thread that goes on if the schedule names none, as ``c/threads.c`` has it."""
        if self.last and self.able >> (self.last - 1) & 1:
            return self.last
        most = self.able.bit_length()
        after = (thread for thread in range(self.last + 1, most + 1) if self._can(thread))
        before = (thread for thread in range(1, most + 1) if self._can(thread))
        return next(after, next(before, 0))

    @property
    def others(self) -> Iterator[int]:
        """The other threads that can go on."""
        usual = self.usual
        return (thread for thread in range(1, self.able.bit_length() + 1)
                if thread != usual and self._can(thread))  # fmt: skip

    @property
    def is_free(self) -> bool:
        """Whether a switch is no preemption: the thread that ran cannot go on."""
        return not self.last or not self._can(self.last)

    def _can(self, thread: int) -> bool:
        return bool(self.able >> (thread - 1) & 1)


def read_points(line: str) -> tuple[SwitchPoint, ...]:
    """The switch points that a program has told, without the schedule's own switches.

    Raises:
        ValueError: they are none.
    """
    points = []
    for word in line.split()[1:]:
        if ">" in word:
            continue
        found = _POINT.fullmatch(word)
        if found is None:
            raise ValueError(f"not a switch point: {word[:40]!r}")
        points.append(SwitchPoint(int(found[1]), int(found[2], 16), int(found[3], 16), found[4],
                            int(found[5], 16)))  # fmt: skip
    return tuple(points)


def read_switches(line: str) -> Switches:
    """The switches that random priorities have made."""
    return tuple((int(point), int(thread)) for point, thread in _TOLD.findall(line))


@dataclass(slots=True)
class _Held:
    """A schedule that is run when its preemption makes a difference."""

    switches: Switches
    preemptions: int


@dataclass(slots=True)
class SystematicSearch:
    """Gives each schedule with few preemptions once, those with the fewest first.

    A preemption right before something that no other thread accesses is equal in happens-before
    order to a later one: such a schedule is held back until another thread is seen there.

    Args:
        preemptions: the most of one schedule.
        rng: chooses among schedules with as many preemptions.
    """

    preemptions: int
    rng: random.Random
    _waiting: list[list[Switches]] = field(default_factory=list)
    _held: dict[int, list[_Held]] = field(default_factory=dict)
    _threads: dict[int, int] = field(default_factory=dict)
    _counts: dict[Switches, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._waiting = [[] for _ in range(self.preemptions + 1)]
        self._waiting[0].append(())
        self._counts[()] = 0

    def take(self, most: int) -> list[Switches]:
        """The next schedules, at most so many of them; empty if all were given."""
        for waiting in self._waiting:
            if waiting:
                taken: list[Switches] = []
                while waiting and len(taken) < most:
                    place = self.rng.randrange(len(waiting))
                    waiting[place], waiting[-1] = waiting[-1], waiting[place]
                    taken.append(waiting.pop())
                return taken
        return []

    def ran(self, switches: Switches, points: Sequence[SwitchPoint]) -> None:
        """Learn from a schedule that was run to its end.

        Args:
            switches: the schedule.
            points: those from its last switch on; all, if it has none.
        """
        first = switches[-1][0] if switches else 0
        preemptions = self._counts.pop(switches)
        for point in points:
            if point.kind in _SEEN_BY_OTHERS and point.last:
                self._see(point.object, point.last)
        for number, point in enumerate(points, start=first):
            if switches and number == first:
                continue  # the other choices here are other schedules of the same parent
            self._branch(switches, preemptions, number, point)

    def _branch(
        self, switches: Switches, preemptions: int, number: int, point: SwitchPoint
    ) -> None:
        count = preemptions + (not point.is_free)
        if count > self.preemptions:
            return
        if not point.is_free and point.kind not in _SEEN_BY_OTHERS:
            return
        for thread in point.others:
            child = _Held((*switches, (number, thread)), count)
            if point.is_free or self._is_shared(point.object):
                self._release(child)
            else:
                self._held.setdefault(point.object, []).append(child)

    def _release(self, child: _Held) -> None:
        self._counts[child.switches] = child.preemptions
        self._waiting[child.preemptions].append(child.switches)

    def _is_shared(self, accessed: int) -> bool:
        threads = self._threads.get(accessed, 0)
        return threads & (threads - 1) != 0

    def _see(self, accessed: int, thread: int) -> None:
        self._threads[accessed] = self._threads.get(accessed, 0) | 1 << thread
        if self._is_shared(accessed):
            for child in self._held.pop(accessed, ()):
                self._release(child)


@dataclass(slots=True)
class InterleavingCounts:
    """What was run of schedules.

    Attributes:
        programs: traces with threads.
        schedules: that were run, of all of them.
        operations: of threads, in all schedules.
        points: switch points, in all schedules.
        exhausted: programs of which all schedules up to the bound were run.
        threads: the most of one program.
    """

    programs: int = 0
    schedules: int = 0
    operations: int = 0
    points: int = 0
    exhausted: int = 0
    threads: int = 0

    def document(self) -> Mapping[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in self.__slots__}
