"""Traces: zones, and operations on them, as text.

::

    zones domains=2 cpus=0,0,1,1
    zone1 size=96 reserve=2
    zone2 secondary=zone1 ctor
    refuse domain=1
    alloc zone1 item=1 cpu=2 M_NOWAIT|M_USE_RESERVE
    alloc zone2 item=2 cpu=0 M_NOWAIT meanwhile free item=1 cpu=0
    reclaim zone1 drain-cpu domain=0
    thread1: free item=1 cpu=0
    thread2: alloc zone1 item=3 cpu=2 M_NOWAIT
    schedule thread2@3 thread1@9

``cpus`` has the domain of each CPU; ``empty=1`` names domains without memory, and
``without=over-limit`` invariants that are not looked at. A zone is first-touch and has buckets if
no word says otherwise; see ``zone.KINDS``. What is not possible, such as the free of an item that
is not held, does nothing, so any part of a trace is a trace.

Operations of threads run at the same time as those of others, after all preceding operations.
The schedule determines how (``harness/onhost/schedules.py``); without one, many are tried.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from harness.errors import UsageError
from harness.onhost.schedules import Schedule, parse_schedule
from harness.subsystems.zones.invariants import INVARIANTS
from harness.subsystems.zones.operations import (
    GAP,
    MOST_ZONES,
    in_words,
    numbers_of,
    parse_operation,
    split_thread,
    zone_of,
)
from harness.subsystems.zones.zone import KINDS, Zone, illegal

#: Numbers in a trace's line, but for an explicit 0 of items.
_NUMBERED: Final = re.compile(r"(?<!items=0)(?<=[a-z=])[0-9]+(?<!items=0)", re.ASCII)
_MOST_OPERATIONS: Final = 100_000
_HEAD: Final = re.compile(
    r"zones domains=([1-8]) cpus=([0-9,]{1,1024})(?: empty=([0-9,]{1,16}))?"
    r"(?: without=([a-z,-]{1,400}))?",
    re.ASCII,
)
_COUNTS: Final = ("size", "reserve", "limit", "maxcache", "align", "kva")
_MOST: Final = {
    "size": 262_144, "reserve": 65536, "limit": 1_000_000, "maxcache": 1_000_000, "align": 65536,
    "kva": 65536,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ZoneLayout:
    """The machine that a trace is for.

    Args:
        cpus: the domain of each CPU.
        domains: number of domains.
        empty: the domains without memory.
    """

    cpus: tuple[int, ...]
    domains: int
    empty: frozenset[int] = frozenset()

    def cpus_in(self, other: ZoneLayout) -> Mapping[int, int]:
        """Return a CPU of another machine for each of this one, in the same domain.

        Raises:
            UsageError: the other machine has fewer.
        """
        places: dict[int, int] = {}
        theirs = {domain: [cpu for cpu, home in enumerate(other.cpus) if home == domain]
                  for domain in range(other.domains)}  # fmt: skip
        for cpu, domain in enumerate(self.cpus):
            if theirs.get(domain):
                places[cpu] = theirs[domain].pop(0)
        return places


@dataclass(frozen=True, slots=True)
class Trace:
    """Zones, and operations as they are sent; see ``harness.check.subject.Trace``.

    Args:
        machine: the machine that it is for.
        zones: the zones.
        operations: in the form of commands, in order, those of threads last.
        left_out: names of invariants that are not looked at.
        schedule: the schedule of the threads; None: any.
    """

    machine: ZoneLayout
    zones: tuple[Zone, ...]
    operations: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    schedule: Schedule | None = None

    def __str__(self) -> str:
        machine = self.machine
        head = f"zones domains={machine.domains} cpus={','.join(map(str, machine.cpus))}"
        if machine.empty:
            head += f" empty={','.join(map(str, sorted(machine.empty)))}"
        if self.left_out:
            head += f" without={','.join(self.left_out)}"
        made = [zone.in_words(place) for place, zone in enumerate(self.zones)]
        schedule = [] if self.schedule is None else [str(self.schedule)]
        return "\n".join([head, *made, *map(in_words, self.operations), *schedule, ""])

    def __len__(self) -> int:
        return len(self.operations)

    def head(self, length: int) -> Trace:
        """Return the trace with its first operations."""
        return replace(self, operations=self.operations[:length], schedule=None)

    def without(self, dropped: frozenset[int]) -> Trace:
        """Return the trace without the operations at these indices, from 0."""
        kept = (each for place, each in enumerate(self.operations) if place not in dropped)
        return replace(self, operations=tuple(kept), schedule=None)

    @property
    def alone(self) -> tuple[str, ...]:
        """The operations that run before those of threads."""
        return tuple(each for each in self.operations if not split_thread(each)[0])

    @property
    def threads(self) -> Mapping[int, tuple[str, ...]]:
        """The operations of each thread, by its number."""
        threads: dict[int, tuple[str, ...]] = {}
        for each in self.operations:
            number, operation = split_thread(each)
            if number:
                threads[number] = (*threads.get(number, ()), operation)
        return threads

    @property
    def is_concurrent(self) -> bool:
        """Whether it has threads."""
        return bool(self.operations) and split_thread(self.operations[-1])[0] > 0

    @property
    def has_gaps(self) -> bool:
        """Whether a thread of it is preempted where only a host program can do that."""
        return any(True for operation in self.operations for _ in numbers_of(operation, GAP))


def is_trace(text: str) -> bool:
    """Whether a text looks like a trace of zones."""
    return re.search(r"^\s*zones\s", text, re.MULTILINE) is not None


def parse_trace(text: str) -> Trace:
    """Read a trace.

    Raises:
        UsageError: not of the form above; names the line.
    """
    reader = _Reader()
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        try:
            reader.read(words)
        except ValueError as error:
            raise UsageError(
                f"line {number} of the trace: {line.strip()[:80]!r}: {error}",
                remedy="see harness/subsystems/zones/trace.py for what a trace may hold",
            ) from error
    if reader.machine is None or not reader.zones:
        raise UsageError(
            "the trace has no zones",
            remedy="begin it with a line such as: zones domains=2 cpus=0,1, and one zone1",
        )
    return Trace(
        reader.machine, tuple(reader.zones), tuple(reader.operations), reader.left_out,
        reader.schedule,
    )  # fmt: skip


def shape(trace: Trace) -> frozenset[str]:
    """Return the words of zones and operations without their numbers, except for zeros."""
    lines = str(trace).splitlines()[1:]
    return frozenset(_NUMBERED.sub("", line) for line in lines)


@dataclass(slots=True)
class _Reader:
    """The lines of a trace that were read so far."""

    machine: ZoneLayout | None = None
    left_out: tuple[str, ...] = ()
    zones: list[Zone] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    schedule: Schedule | None = None

    def read(self, words: Sequence[str]) -> None:
        """Read a line.

        Raises:
            ValueError: it is not a line of a trace; the message is the reason.
        """
        if not words:
            return
        if (words[0] == "zones") is (self.machine is not None):
            raise ValueError("a trace begins with one line: zones domains= cpus=")
        if words[0] == "zones":
            self.machine, self.left_out = _parse_head(" ".join(words))
        elif words[0] == f"zone{len(self.zones) + 1}":
            self.zones.append(_parse_zone(words[1:], self.zones))
        elif self.schedule is not None:
            raise ValueError("the schedule is the last line of a trace")
        elif words[0] == "schedule":
            if not self._has_threads:
                raise ValueError("there is a schedule, but no threads")
            self.schedule = parse_schedule(words)
        else:
            operation = parse_operation(" ".join(words))
            if self._has_threads and not split_thread(operation)[0]:
                raise ValueError("operations of threads come last")
            self.operations.append(operation)
            self._check(operation)

    @property
    def _has_threads(self) -> bool:
        return bool(self.operations) and split_thread(self.operations[-1])[0] > 0

    def _check(self, operation: str) -> None:
        if len(self.operations) > _MOST_OPERATIONS:
            raise ValueError(f"a trace has {_MOST_OPERATIONS} operations at the most")
        if any(zone >= len(self.zones) for zone in zone_of(operation)):
            raise ValueError("its zone does not exist")
        machine = self.machine
        if machine is None:
            return
        for name, most in (("cpu", len(machine.cpus)), ("domain", machine.domains)):
            if any(number >= most for number in numbers_of(operation, name)):
                raise ValueError(f"the trace's machine has no such {name}")


def _parse_head(line: str) -> tuple[ZoneLayout, tuple[str, ...]]:
    found = _HEAD.fullmatch(line)
    if found is None:
        raise ValueError("not of the form: zones domains=2 cpus=0,0,1,1 empty=1")
    domains = int(found[1])
    cpus = tuple(int(word) for word in found[2].split(",") if word)
    empty = frozenset(int(word) for word in (found[3] or "").split(",") if word)
    if not cpus or max((*cpus, *empty)) >= domains:
        raise ValueError(f"domains are numbered from 0 to {domains - 1}")
    if len(empty) == domains:
        raise ValueError("no domain has memory")
    left_out = tuple(word for word in (found[4] or "").split(",") if word)
    unknown = set(left_out) - set(INVARIANTS)
    if unknown:
        raise ValueError(f"there is no invariant {' or '.join(sorted(unknown))}")
    return ZoneLayout(cpus, domains, empty), left_out


def _parse_zone(words: Sequence[str], before: Sequence[Zone]) -> Zone:
    if len(before) == MOST_ZONES:
        raise ValueError(f"a trace has {MOST_ZONES} zones at the most")
    kinds: set[str] = set()
    numbers: dict[str, int] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if name in _COUNTS and re.fullmatch(r"[0-9]{1,7}", value, re.ASCII):
            numbers[name] = _count(name, int(value))
        elif name == "secondary" and (found := re.fullmatch(r"zone([1-4])", value, re.ASCII)):
            numbers["primary"] = int(found[1]) - 1
        elif word in KINDS and not equals and word != "secondary":
            kinds.add(word)
        else:
            raise ValueError(f"a zone has no {word}")
    primary = numbers.get("primary")
    if primary is not None:
        if primary >= len(before) or before[primary].kinds & {"cache", "secondary"}:
            raise ValueError("a secondary zone needs a primary zone before it")
        kinds.add("secondary")
    zone = Zone(frozenset(kinds), **numbers)
    why = illegal(zone)
    if why:
        raise ValueError(why)
    return zone


def _count(name: str, number: int) -> int:
    if number > _MOST[name] or (name == "size" and number < 8):
        raise ValueError(f"{name} is at most {_MOST[name]}, and a size at least 8")
    if name == "align" and number.bit_count() != 1:
        raise ValueError("align is a power of two")
    if name == "kva" and number == 0:
        raise ValueError("kva is of one item at least")
    return number
