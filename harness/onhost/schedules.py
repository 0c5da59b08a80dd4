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
_SEEN_BY_OTHERS: Final = frozenset("oladkwbmr")
_LOAD: Final = "r"
_ADDITION: Final = "d"

#: Switches in one command, of which a program takes 1024 characters.
_MOST_TOLD: Final = 60

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

    def commands(self, words: str = "") -> tuple[str, ...]:
        """The commands that run threads by it; the last one has ``words``, too."""
        told = [f"{point}>{thread}" for point, thread in self.switches]
        parts = [told[at : at + _MOST_TOLD] for at in range(0, len(told), _MOST_TOLD)]
        last = f"interleave {words} schedule=told".replace("  ", " ")
        return (
            *(f"switches add={','.join(part)}" for part in parts),
            f"{last} accesses=1" if self.accesses else last,
        )

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


@dataclass(frozen=True, slots=True)
class _Child:
    """A schedule that switches at a point more than the one that was run."""

    switches: Switches
    preemptions: int
    point: SwitchPoint


@dataclass(slots=True)
class _Accesses:
    """Which threads have accessed an object; masks.

    Attributes:
        threads: all of them.
        readers: those that have done more than atomic additions.
        writers: those that have done more than loads.
    """

    threads: int = 0
    readers: int = 0
    writers: int = 0


@dataclass(slots=True)
class SystematicSearch:
    """Gives each schedule with few preemptions once, those with the fewest first.

    A preemption right before something that no other thread accesses is equal in happens-before
    order to a later one, as long as locks protect what is not atomic. Such a schedule is held back
    until another thread is seen there, or nothing else is left: then it shows where a lock is
    missing. Of schedules with as many preemptions, those come first that switch to a thread which
    has been seen at the object itself, and not by an atomic addition before another one.

    Args:
        preemptions: the most of one schedule.
        rng: chooses among schedules that nothing else tells apart.
    """

    preemptions: int
    rng: random.Random
    _waiting: list[list[Switches]] = field(default_factory=list)
    _held: dict[int, list[_Child]] = field(default_factory=dict)
    _accesses: dict[int, _Accesses] = field(default_factory=dict)
    _counts: dict[Switches, int] = field(default_factory=dict)
    _equal: list[list[Switches]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._waiting = [[] for _ in range(2 * (self.preemptions + 1))]
        self._equal = [[] for _ in range(self.preemptions + 1)]
        self._waiting[0].append(())
        self._counts[()] = 0

    @property
    def only_equal_left(self) -> bool:
        """Whether all that is left is equal in happens-before order to what was given."""
        return not any(self._waiting)

    def take(self, most: int) -> list[Switches]:
        """The next schedules, at most so many of them; empty if all were given."""
        if self.only_equal_left:
            for children in self._held.values():
                for child in children:
                    self._counts[child.switches] = child.preemptions
                    self._equal[child.preemptions].append(child.switches)
            self._held.clear()
        for waiting in (*self._waiting, *self._equal):
            if waiting:
                taken: list[Switches] = []
                while waiting and len(taken) < most:
                    place = self.rng.randrange(len(waiting))
                    waiting[place], waiting[-1] = waiting[-1], waiting[place]
                    taken.append(waiting.pop())
                return taken
        return []

    def goes_on(self, switches: Switches) -> bool:
        """Whether a schedule that was given can have one preemption more."""
        return self._counts[switches] < self.preemptions

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
                self._see(point)
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
            child = _Child((*switches, (number, thread)), count, point)
            if point.is_free or self._others_at(point):
                self._release(child)
            else:
                self._held.setdefault(point.object, []).append(child)

    def _release(self, child: _Child) -> None:
        self._counts[child.switches] = child.preemptions
        accesses = self._accesses.get(child.point.object, _Accesses())
        met = accesses.readers if child.point.kind == _ADDITION else accesses.threads
        first = child.point.is_free or met >> child.switches[-1][1] & 1
        self._waiting[2 * child.preemptions + (not first)].append(child.switches)

    def _others_at(self, point: SwitchPoint) -> bool:
        """Whether another thread was seen at the object."""
        accesses = self._accesses.get(point.object, _Accesses())
        others = accesses.writers if point.kind == _LOAD else accesses.threads
        return others & ~(1 << point.last) != 0

    def _see(self, point: SwitchPoint) -> None:
        accesses = self._accesses.setdefault(point.object, _Accesses())
        before = (accesses.threads, accesses.writers)
        accesses.threads |= 1 << point.last
        if point.kind != _ADDITION:
            accesses.readers |= 1 << point.last
        if point.kind != _LOAD:
            accesses.writers |= 1 << point.last
        if before == (accesses.threads, accesses.writers):
            return
        for child in self._held.pop(point.object, ()):
            if self._others_at(child.point):
                self._release(child)
            else:
                self._held.setdefault(point.object, []).append(child)


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
