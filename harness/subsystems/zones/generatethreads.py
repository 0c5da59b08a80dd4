"""Random traces with threads."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from harness.check.weighted import Weighted
from harness.subsystems.zones.generate import Generator
from harness.subsystems.zones.operations import MOST_THREADS, numbers_of, token

if TYPE_CHECKING:
    from harness.subsystems.zones.trace import Trace, ZoneLayout

#: Operations that run before the threads: a fresh zone, a used one, and one whose buckets are full.
_BEFORE: Final = Weighted(((0, 2), (3, 3), (12, 3), (60, 1)))
_THREADS: Final = Weighted(((2, 5), (3, 2), (4, 1)))
#: Maximum number of operations of all threads: only few can be searched systematically.
_OPERATIONS: Final = Weighted(((4, 3), (6, 3), (9, 2), (12, 1), (40, 1)))
#: Verbs of all traces, and rarer ones, of which each trace has a few, and those often.
_USUAL: Final = (("a", 10), ("f", 8), ("d", 2))
_RARE: Final = ("d", "m", "x", "p", "t", "r", "y", "q", "c", "e", "h", "k", "u", "u")
_RARE_WEIGHT: Final = 5
_FLAGS: Final = Weighted((("n", 6), ("w", 3), ("nr", 2), ("nv", 1), ("nz", 1)))
_LIMITS: Final = Weighted(((0, 1), (1, 2), (3, 2), (10, 2), (100, 1)))

#: How often threads wait at a limit, and such limits.
_CROWDED: Final = 0.15
_LIMITS_OF_CROWDS: Final = (1, 2, 3, 4, 8, 20)


def with_threads(rng: random.Random, machine: ZoneLayout) -> Trace:
    """A random trace with threads, for a machine."""
    if rng.random() < _CROWDED:
        return _crowd(rng, machine)
    trace = Generator(rng, machine, preempts=True).trace().head(_BEFORE.choose(rng))
    # Without the model of a limit few schedules wait: one of the zones often has a low one.
    if rng.random() < 0.3:
        first = replace(trace.zones[0], limit=_LIMITS.choose(rng) or None, kva=None)
        trace = replace(trace, zones=(first, *trace.zones[1:]))
    count = _THREADS.choose(rng)
    cpus = _placed(rng, len(machine.cpus), count)
    writer = _ThreadWriter(rng, machine, trace, cpus)
    threads = sorted(writer.thread() for _ in range(max(count, _OPERATIONS.choose(rng))))
    operations = tuple(f"{number}:{writer.operation(number)}" for number in threads)
    return replace(trace, operations=(*trace.operations, *operations))


def _crowd(rng: random.Random, machine: ZoneLayout) -> Trace:
    """A random trace whose threads wait at the limit of a zone, while another one makes room.

    Its items are in use or in caches, so that room comes in several ways, and for several at once.
    """
    trace = Generator(rng, machine, preempts=True).trace().head(0)
    limit, maxcache = rng.choice(_LIMITS_OF_CROWDS), rng.choice((None, 100))
    zone = replace(trace.zones[0], limit=limit, maxcache=maxcache, kva=None)
    cpus, slots = range(len(machine.cpus)), range(1, (zone.limit or 0) + 1)
    cpu = rng.choice(cpus)
    freed = rng.sample(slots, rng.randint(0, len(slots)))
    before = [token("a", {"zone": 0, "slot": slot, "cpu": cpu}, "n") for slot in slots]
    before += [token("f", {"slot": slot, "cpu": cpu}) for slot in freed]
    waiters = rng.choice((2, 2, 3))
    threads = [
        f"{number}:{token('a', {'zone': 0, 'slot': 100 + number, 'cpu': rng.choice(cpus)}, 'w')}"
        for number in range(1, waiters + 1)
    ]
    held = [slot for slot in slots if slot not in freed]
    for _ in range(rng.randint(1, 3)):
        told: dict[str, int | None] = {"zone": 0, "cpu": cpu}
        match rng.choice("fdddmc"):
            case "f" if held:
                made = token("f", {"slot": held.pop(), "cpu": cpu})
            case "m":
                made = token("m", {"zone": 0, "number": rng.choice(_LIMITS_OF_CROWDS)})
            case "c":
                made = token("c", {"cpu": cpu, "number": 2})
            case _:
                made = token("d", {**told, "number": rng.randrange(3)})
        threads.append(f"{waiters + 1}:{made}")
    return replace(trace, zones=(zone, *trace.zones[1:]), operations=(*before, *threads))


def _placed(rng: random.Random, cpus: int, threads: int) -> Sequence[int]:
    """Return the CPU of each thread; several often share one, and race for its cache."""
    few = [rng.randrange(cpus) for _ in range(rng.choice((1, 2, MOST_THREADS)))]
    return [rng.choice(few) for _ in range(threads)]


class _ThreadWriter:
    """Writes the operations of threads."""

    def __init__(
        self, rng: random.Random, machine: ZoneLayout, trace: Trace, cpus: Sequence[int]
    ) -> None:
        self._rng = rng
        self._domains = machine.domains
        self._all_cpus = len(machine.cpus)
        self._zones = len(trace.zones)
        self._cpus = cpus
        slots = {slot for each in trace.operations for slot in numbers_of(each, "slot")}
        self._held = sorted(slots)
        self._fresh = iter(sorted(set(range(1, 1000)) - slots))
        self._turn = 0
        rare = rng.sample(_RARE, rng.choice((1, 2, 3)))
        self._verbs = Weighted((*_USUAL, *((verb, _RARE_WEIGHT) for verb in rare)))
        self._by_domain = rng.choice((0.0, 0.2, 0.7))

    def thread(self) -> int:
        """Return the thread of the next operation; each gets one before any gets two."""
        self._turn += 1
        if self._turn <= len(self._cpus):
            return self._turn
        return self._rng.randint(1, len(self._cpus))

    def operation(self, thread: int) -> str:
        """The next operation of a thread."""
        rng, flags = self._rng, ""
        letter = self._verbs.choose(rng)
        cpu, zone = self._cpus[thread - 1], rng.randrange(self._zones)
        domain = rng.randrange(self._domains)
        told: dict[str, int | None]
        match letter:
            case "f" if self._held:
                told = {"slot": self._held.pop(rng.randrange(len(self._held))), "cpu": cpu}
            case "q" if self._held:
                told = {"slot": rng.choice(self._held), "cpu": cpu}
            case "a" | "f" | "q":
                letter, flags, slot = "a", _FLAGS.choose(rng), next(self._fresh)
                self._held.append(slot)
                by_domain = domain if rng.random() < self._by_domain else None
                told = {"zone": zone, "slot": slot, "cpu": cpu, "domain": by_domain}
            case "d" | "c":
                within = domain if rng.random() < 0.3 else None
                told = {"zone": zone if letter == "d" else None, "cpu": cpu, "domain": within,
                        "number": rng.randrange(3)}  # fmt: skip
            case "m" | "x" | "p":
                told = {"zone": zone, "number": _LIMITS.choose(rng),
                        "cpu": cpu if letter == "p" else None}  # fmt: skip
            case "t":
                told = {"cpu": cpu}
            case "k":
                told = {"zone": zone}
            case "u":
                other = rng.randint(1, len(self._cpus))
                told = {"number": other, "cpu": rng.randrange(self._all_cpus)}
            case _:
                told = {"domain": domain}
        return token(letter, told, flags)
