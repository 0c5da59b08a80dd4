"""Commands to the check module for zones, and its answers (``c/README.md``); pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from harness.check.protocol import matched, number_in
from harness.subsystems.uma.model.flags import M_NOVM, M_NOWAIT, M_USE_RESERVE, M_WAITOK
from harness.subsystems.uma.model.player import DomainSource, Operation, Verb

if TYPE_CHECKING:
    from harness.console.events import ProbeRecord

_ROUND_ROBIN: Final = 1
_HASHED: Final = 2

_FLAG_LETTERS: Final[Mapping[int, str]] = {
    M_NOWAIT: "n",
    M_WAITOK: "w",
    M_NOVM: "v",
    M_USE_RESERVE: "r",
}
#: The name of the answer to an operation.
ANSWER_NAMES: Final[Mapping[Verb, str]] = {
    verb: verb.value if verb in (Verb.ALLOC, Verb.FREE, Verb.PREALLOC, Verb.DRAIN) else "done"
    for verb in Verb
}
#: Maximum number of the slab allocator's calls that an answer lists; further ones are counted.
LISTED_CALLS: Final = 128

# Looking up members of an enumeration would slow each operation.
_ALLOC: Final = Verb.ALLOC
_FREE: Final = Verb.FREE
_PREALLOC: Final = Verb.PREALLOC
_BY_DOMAIN: Final = DomainSource.DOMAIN

_ITEM = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})", re.ASCII)
_CALLS = re.compile(r"[0-7]{1,128}", re.ASCII)
#: Counters have 32 bits: a negative one is a large number.
_COUNTERS = re.compile(r"[0-9]{1,10}(?:,[0-9]{1,10}){5}", re.ASCII)
_DOMAIN = re.compile(r"d([0-7])", re.ASCII)


class Counters(NamedTuple):
    """The counters of a keg in one domain.

    Args:
        pages: ``ud_pages``, in slabs.
        free_items: ``ud_free_items``.
        free_slabs: ``ud_free_slabs``.
        partial: slabs in the list of partly used ones.
        free: slabs in the list of free ones.
        full: slabs in the list of full ones.
    """

    pages: int = 0
    free_items: int = 0
    free_slabs: int = 0
    partial: int = 0
    free: int = 0
    full: int = 0

    def __str__(self) -> str:
        return (
            f"{self.pages} slabs ({self.partial} partial, {self.free} free, {self.full} full), "
            f"{self.free_items} free items, {self.free_slabs} free slabs counted"
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """A guest's answer to an operation.

    Args:
        item: slab and index of the item; None without one.
        domain: actual domain of the item's memory; -1 without an item.
        calls: the domains of the slab allocator's calls, in order.
        slept: number of times that the thread slept for memory.
        place: the keg's iterator.
        changed: counters that differ from the previous answer, by domain.
    """

    item: tuple[int, int] | None
    domain: int
    calls: tuple[int, ...]
    slept: int
    place: int
    changed: Mapping[int, Counters]


@dataclass(frozen=True, slots=True)
class Starved:
    """How a thread waited for memory in a domain without free memory.

    Args:
        calls: calls of the slab allocator.
        run_us: the thread's CPU time, in microseconds.
        elapsed_us: duration of the shortage, in microseconds.
        wake_us: time from the end of the shortage to the item, in microseconds.
        asleep: whether it slept at the end of the shortage.
        served: whether it got its item.
    """

    calls: int
    run_us: int
    elapsed_us: int
    wake_us: int
    asleep: bool
    served: bool

    @property
    def calls_per_second(self) -> float:
        """Calls of the slab allocator per second of waiting."""
        return self.calls / max(self.elapsed_us, 1) * 1e6

    def measured(self) -> dict[str, float | bool]:
        """Return the fields by name."""
        return asdict(self)

    def in_words(self) -> str:
        """Return the measurement as a line of text."""
        return (
            f"{'slept' if self.asleep else 'spun'} while waiting for memory: {self.calls} slab "
            f"allocation{'' if self.calls == 1 else 's'}, {self.run_us / 1000:.0f} ms CPU in "
            f"{self.elapsed_us / 1e6:.1f} s; woke {self.wake_us / 1000:.1f} ms after memory was "
            "freed"
        )


@dataclass(frozen=True, slots=True)
class Order:
    """The command that creates a zone.

    Args:
        size: size of an item, in bytes.
        reserve: items in the reserve.
        round_robin: whether its policy is round-robin; else first-touch.
        hashed: whether its slabs are in one list (``UMA_ZFLAG_HASH``).
        patience: see ``Shape``.
    """

    size: int
    reserve: int
    round_robin: bool
    hashed: bool
    patience: int

    def __str__(self) -> str:
        kind = _ROUND_ROBIN * self.round_robin + _HASHED * self.hashed
        return f"zone size={self.size} reserve={self.reserve} kind={kind} patience={self.patience}"


def command(operation: Operation, slot: int, cpu: int) -> str:
    """Return the command of an operation.

    Args:
        operation: the operation.
        slot: the slot of the item of an ``alloc`` or ``free``.
        cpu: the CPU that runs it.
    """
    verb, number, flags, place, meanwhile = operation
    if verb is _ALLOC:
        asked = f" domain={number}" if place is _BY_DOMAIN else ""
        freed = f" meanwhile={meanwhile}" if meanwhile else ""
        return f"alloc slot={slot} cpu={cpu}{asked} flags={_letters(flags)}{freed}"
    if verb is _FREE:
        return f"free slot={slot} cpu={cpu}"
    if verb is _PREALLOC:
        return f"prealloc items={number} cpu={cpu}"
    return f"{verb.value} domain={number}"


@cache
def _letters(flags: int) -> str:
    return "".join(letter for flag, letter in _FLAG_LETTERS.items() if flags & flag)


def read_answer(record: ProbeRecord) -> Answer:
    """Return the answer in a record.

    Raises:
        Nonsense: the record violates the protocol.
    """
    fields = dict(record.fields)
    item = None
    if "item" in fields:
        found = matched(_ITEM, fields["item"])
        item = (int(found[1]), int(found[2]))
    calls = tuple(int(digit) for digit in matched(_CALLS, fields["calls"])[0]
                  ) if "calls" in fields else ()  # fmt: skip
    if "more" in fields:
        calls += (-1,) * min(number_in(fields, "more"), 1)
    return Answer(
        item=item,
        domain=number_in(fields, "domain") if item is not None else -1,
        calls=calls,
        slept=number_in(fields, "slept") if "slept" in fields else 0,
        place=number_in(fields, "place"),
        changed=read_counters(record),
    )


def read_counters(record: ProbeRecord) -> dict[int, Counters]:
    """Return the counters in a record, by domain.

    Raises:
        Nonsense: the record violates the protocol.
    """
    return {
        int(domain[1]): Counters(*map(int, matched(_COUNTERS, value)[0].split(",")))
        for key, value in record.fields
        if (domain := _DOMAIN.fullmatch(key)) is not None
    }


def read_starved(record: ProbeRecord) -> Starved:
    """Return the answer to ``starve``.

    Raises:
        Nonsense: the record violates the protocol.
    """
    fields = dict(record.fields)
    return Starved(
        calls=number_in(fields, "calls"),
        run_us=number_in(fields, "run_us"),
        elapsed_us=number_in(fields, "elapsed_us"),
        wake_us=number_in(fields, "wake_us"),
        asleep=number_in(fields, "asleep") != 0,
        served=number_in(fields, "served") != 0,
    )
