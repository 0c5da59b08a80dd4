"""Random zones, and random operations on them.

Each trace has a few of the rarer words of zones and of the rarer operations only, and these often:
what needs two of them together would hardly ever happen if each trace had a few of all.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from harness.check.weighted import Weighted
from harness.subsystems.zones.operations import ALWAYS, letter_of, token, with_gap
from harness.subsystems.zones.trace import Trace, ZoneLayout
from harness.subsystems.zones.zone import Zone, illegal

#: Sizes of items: many in a slab, few, one, and slabs of several pages.
_SIZES: Final = Weighted(
    ((16, 1), (96, 3), (256, 3), (500, 2), (1000, 3), (2000, 3), (4000, 1), (6000, 1))
)
_PLAIN: Final[tuple[str, ...]] = ()
_KEGS: Final = Weighted((
    (_PLAIN, 12), (("round-robin",), 4), (("offpage",), 1), (("hashed",), 1), (("nofree",), 1),
    (("smr",), 2), (("smr", "round-robin"), 1), (("pcpu",), 1), (("cache",), 3),
    (("cache", "round-robin"), 1), (("shared-smr",), 2), (("cache", "smr"), 1),
))  # fmt: skip
#: Words of any zone, with their probabilities.
_ALSO: Final = (
    ("ctor", 0.12), ("zinit", 0.12), ("nobucket", 0.06), ("maxbucket", 0.05), ("maxaction", 0.03),
    ("writes", 0.08), ("unmanaged", 0.05), ("notrim", 0.03),
)  # fmt: skip
#: Words of a zone with a keg of its own.
_OF_KEGS: Final = (
    ("init", 0.1), ("stock", 0.1), ("vm", 0.08), ("malloc", 0.05), ("spread", 0.02),
    ("contig", 0.02), ("nodump", 0.03), ("zeroed", 0.03),
)  # fmt: skip
_ALIGNMENTS: Final = (16, 64, 256, 1024, 4096, 8192)
#: Of items that are spread, sometimes: more than a slab of such a zone may have.
_LARGE: Final = 150_000
_RESERVED: Final = Weighted(((1, 1), (8, 1), (40, 2), (200, 1)))
#: Of zones in a trace.
_NUMBERS: Final = Weighted(((1, 6), (2, 2), (3, 1)))
_LENGTHS: Final = Weighted(((12, 4), (40, 4), (150, 3), (400, 1)))
_SLOTS: Final = Weighted(((4, 2), (40, 3), (150, 3), (600, 1)))
#: Verbs that a trace uses often besides allocating and freeing, with their weights.
_MOODS: Final = (
    {"alloc": 50, "free": 50, "reclaim": 1},
    {"alloc": 60, "free": 30, "refuse": 4, "accept": 4, "reclaim": 2},
    {"alloc": 45, "free": 40, "reclaim": 10, "timeout": 3, "prealloc": 2},
    {"alloc": 45, "free": 38, "refuse": 4, "accept": 5, "reclaim": 5, "low": 1, "recover": 1,
     "prealloc": 1},
    {"alloc": 45, "free": 40, "set-max": 5, "set-maxcache": 5, "reclaim": 4, "destroy": 1},
    {"alloc": 50, "free": 42, "exhaust": 3, "refill": 2, "reclaim": 3, "wait": 1},
    {"alloc": 45, "free": 40, "exhaust": 2, "refill": 2, "reclaim": 3, "reclaim-all": 2,
     "timeout": 2, "run-tasks": 1, "destroy": 1},
    {"alloc": 44, "free": 44, "steady": 1, "refuse": 1, "accept": 1},
)  # fmt: skip
_FLAGS: Final = Weighted(
    (("n", 8), ("nr", 4), ("w", 3), ("nv", 1), ("nz", 1), ("nvr", 1), ("wz", 1))
)
_RECLAIMS: Final = Weighted(((0, 1), (1, 2), (2, 2)))
_LIMITS: Final = Weighted(((1, 1), (3, 1), (10, 2), (40, 2), (100, 2), (400, 1), (1000, 1)))


#: More than any cache has.
_UNBOUNDED: Final = 100_000

_MEANWHILE: Final = (
    "reclaim", "refuse", "accept", "set-max", "set-maxcache", "timeout", "reclaim-all",
)  # fmt: skip


#: Timeouts after which UMA takes what was not used meanwhile for unused.
_LONG_UNUSED: Final = 50
_OF_READERS: Final = frozenset({"smr", "shared-smr"})
#: How often such a zone gives back at once what its caches have no room for.
_FULL: Final = 0.25
_READERS: Final = ("enter", "leave")
#: Operations that are preempted, and what runs then, with weights.
_PREEMPTED: Final = frozenset("afdpct")
_AT_GAPS: Final = {
    "alloc": 10, "free": 10, "move": 4, "reclaim": 4, "set-max": 1, "set-maxcache": 1,
    "timeout": 1, "enter": 1, "leave": 1,
}  # fmt: skip
#: Places where a thread could be preempted, of which the first are chosen most often.
_GAPS: Final = 12
#: How often zones of smr(9) have readers, and how often a reader keeps its CPU.
_READ: Final = 0.7
_STAYS: Final = 0.98


class Generator:
    """Writes traces for a machine.

    Args:
        rng: the source of randomness.
        machine: the machine that they are for.
        preempts: whether threads are preempted.
    """

    def __init__(self, rng: random.Random, machine: ZoneLayout, *, preempts: bool = False) -> None:
        self._rng = rng
        self._machine = machine
        self._preempts = preempts

    def trace(self) -> Trace:
        """The next trace."""
        zones = self._zones()
        writer = _Writer(self._rng, self._machine, zones, preempts=self._preempts)
        length = _LENGTHS.choose(self._rng)
        return Trace(self._machine, zones, tuple(writer.operations(length)))

    def _zones(self) -> tuple[Zone, ...]:
        zones: list[Zone] = []
        for _ in range(_NUMBERS.choose(self._rng)):
            zone = self._zone(zones)
            if not illegal(zone):
                zones.append(zone)
        return tuple(zones) or (Zone(),)

    def _zone(self, before: Sequence[Zone]) -> Zone:
        rng = self._rng
        primaries = [place for place, zone in enumerate(before)
                     if not zone.kinds & {"secondary", "cache"}]  # fmt: skip
        also = {word for word, chance in _ALSO if rng.random() < chance}
        limit = _LIMITS.choose(rng) if rng.random() < 0.25 else None
        maxcache = _LIMITS.choose(rng) if rng.random() < 0.08 else None
        size = _SIZES.choose(rng)
        if primaries and rng.random() < 0.7:
            primary = rng.choice(primaries)
            also -= {"unmanaged", "notrim", "nobucket", "maxbucket"}
            return Zone(frozenset({"secondary", *also}), before[primary].size, 0, limit, maxcache,
                        primary)  # fmt: skip
        kinds = {*_KEGS.choose(rng), *also}
        if kinds & _OF_READERS and rng.random() < _FULL:
            maxcache = _LIMITS.choose(rng)
        if "cache" in kinds:
            return Zone(frozenset(kinds), size, 0, limit, maxcache)
        kinds |= {word for word, chance in _OF_KEGS if rng.random() < chance}
        if "init" in kinds and rng.random() < 0.2:
            kinds.add("set-init")
        if "spread" in kinds and rng.random() < 0.2:
            size = _LARGE
        reserve = rng.choice((1, 2, 3, 8)) if rng.random() < 0.3 else 0
        align = rng.choice(_ALIGNMENTS) if rng.random() < 0.06 else None
        kva = None
        if rng.random() < 0.06:
            kva, limit, kinds = _RESERVED.choose(rng), None, kinds - {"stock", "nofree"}
        return Zone(frozenset(kinds), size, reserve, limit, maxcache, align=align, kva=kva)


class _Writer:
    """Operations of one trace."""

    def __init__(
        self, rng: random.Random, machine: ZoneLayout, zones: Sequence[Zone], *, preempts: bool
    ) -> None:
        self._rng = rng
        self._random = rng.random
        self._zones = zones
        self._domains = machine.domains
        cpus = range(len(machine.cpus))
        self._all_cpus = len(cpus)
        self._cpus = cpus if rng.random() < 0.6 else [rng.choice(cpus) for _ in range(2)]
        self._free = list(range(_SLOTS.choose(rng)))
        self._held: list[int] = []
        self._flags = self._some_flags()
        self._by_domain = rng.choice((0.0, 0.2, 0.5))
        self._meanwhile = rng.choice((0.0, 0.0, 0.05, 0.3))
        self._fails = rng.choice((0.0, 0.05, 0.3))
        self._always = rng.choice((0.0, 0.0, 0.5))
        # Where threads are preempted at all, this is how often they are.
        self._preempted = rng.choice((0.0, 0.0, 0.1, 0.4)) if preempts else 0.0
        self._has_readers = any(zone.kinds & _OF_READERS for zone in zones)
        self._read_on: set[int] = set()
        self._times = rng.choice((None, None, _LONG_UNUSED))

    def _some_flags(self) -> list[str]:
        """Return the flags of this trace: each zone has few kinds of callers."""
        chosen = [_FLAGS.choose(self._rng) for _ in range(self._rng.choice((1, 2, 4)))]
        return [*chosen, "n"]

    def operations(self, length: int) -> Iterator[str]:
        """So many of them."""
        mood = {**self._rng.choice(_MOODS), **self._more()}
        verbs = self._rng.choices(list(mood), list(mood.values()), k=length)
        turn = self._rng.choice((30, 100, 1000))
        hungry = self._random() < 0.5
        for number, verb in enumerate(verbs):
            if number % turn == turn - 1:
                hungry = self._random() < 0.5
            frees = verb == "alloc" and not hungry and self._held and self._random() < 0.5
            yield self._interrupted(self._operation("free" if frees else verb))

    def _more(self) -> Mapping[str, int]:
        """Return verbs that not all machines and zones have."""
        more: dict[str, int] = {}
        if self._has_readers and self._random() < _READ:
            more |= {"enter": 3, "leave": 1}
        if self._preempted:
            more |= {"contend": self._rng.choice((0, 2, 10))}
        return more

    def _interrupted(self, operation: str) -> str:
        """Return it with another one in the middle, where its thread could be preempted."""
        rand = self._random
        if ";" in operation or operation[0] not in _PREEMPTED or rand() >= self._preempted:
            return operation
        verb = self._rng.choices(list(_AT_GAPS), list(_AT_GAPS.values()))[0]
        inner = self._operation(verb, nested=True)
        return f"{operation};{with_gap(inner, 1 + int(rand() * rand() * _GAPS))}"

    def _operation(self, verb: str, *, nested: bool = False) -> str:
        rand = self._random
        if verb == "free" and self._held:
            held = self._held
            place = int(rand() * len(held))
            slot, held[place] = held[place], held[-1]
            held.pop()
            self._free.append(slot)
            return f"f,{slot},{self._cpu()}"
        if verb in ("alloc", "free"):
            return self._allocation(nested=nested)
        return self._reader(verb) if verb in _READERS else self._rare(verb)

    def _allocation(self, *, nested: bool) -> str:
        rand = self._random
        slot = self._free.pop() if self._free else int(rand() * 1000)
        self._held.append(slot)
        zone = int(rand() * len(self._zones))
        flags = self._flags[int(rand() * len(self._flags))]
        if nested and "w" in flags:
            flags = "n"
        domain = int(rand() * self._domains) if rand() < self._by_domain else ""
        fail = f",,{1 + int(rand() * rand() * 40)}" if rand() < self._fails else ""
        always = ALWAYS if fail and rand() < self._always else ""
        written = f"a{zone},{slot},{self._cpu()},{domain}{fail}".rstrip(",") + flags + always
        if nested or rand() >= self._meanwhile:
            return written
        verb = "move" if rand() < 0.2 else "free" if rand() < 0.6 else "alloc"
        if rand() < 0.15:
            verb = self._rng.choice(_MEANWHILE)
        return f"{written};{self._operation(verb, nested=True)}"

    def _reader(self, verb: str) -> str:
        cpu = self._rng.randrange(self._all_cpus)
        if verb == "enter":
            self._read_on.add(cpu)
            zone = self._rng.randrange(len(self._zones))
            return token(letter_of(verb), {"zone": zone, "cpu": cpu})
        cpu = self._rng.choice([*self._read_on, cpu])
        self._read_on.discard(cpu)
        return token(letter_of(verb), {"cpu": cpu})

    def _rare(self, verb: str) -> str:
        rng = self._rng
        zone, cpu = rng.randrange(len(self._zones)), self._cpu()
        told: dict[str, int | None]
        match verb:
            case "move" | "wait":
                told = {"zone": zone if verb == "wait" else None, "cpu": cpu}
            case "timeout":
                told = {"cpu": cpu, "number": self._times}
            case "reclaim":
                domain = None if rng.random() < 0.5 else rng.randrange(self._domains)
                number = _RECLAIMS.choose(rng)
                told = {"zone": zone, "cpu": cpu, "domain": domain, "number": number}
            case "set-max" | "set-maxcache":
                items = 0 if rng.random() < 0.1 else _LIMITS.choose(rng)
                items = _UNBOUNDED if rng.random() < 0.05 else items
                told = {"zone": zone, "number": items}
            case "prealloc":
                fail = rng.randint(1, 20) if rng.random() < self._fails else None
                told = {"zone": zone, "cpu": cpu, "number": rng.randint(1, 60), "fail": fail}
            case "destroy" | "run-tasks":
                told = {"zone": zone if verb == "destroy" else None}
            case "reclaim-all":
                domain = None if rng.random() < 0.5 else rng.randrange(self._domains)
                told = {"cpu": cpu, "domain": domain, "number": _RECLAIMS.choose(rng)}
            case "steady":
                by_domain = rng.random() < self._by_domain
                domain = rng.randrange(self._domains) if by_domain else None
                numbers = {"zone": zone, "cpu": cpu, "domain": domain, "number": rng.randrange(8)}
                flags = rng.choice(self._flags)
                return token(letter_of(verb), numbers, "n" if "w" in flags else flags)
            case _:
                told = {"zone": zone if verb == "contend" else None,
                        "domain": rng.randrange(self._domains)}  # fmt: skip
        return token(letter_of(verb), told)

    def _cpu(self) -> int:
        cpu = self._cpus[int(self._random() * len(self._cpus))]
        if cpu not in self._read_on:
            return cpu
        others = [each for each in self._cpus if each not in self._read_on]
        if others and self._random() < _STAYS:
            return self._rng.choice(others)
        self._read_on.discard(cpu)
        return cpu
