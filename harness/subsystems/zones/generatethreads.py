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


def with_threads(rng: random.Random, machine: ZoneLayout) -> Trace:
    """A random trace with threads, for a machine."""
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
