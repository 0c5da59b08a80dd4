"""What the check module is told to do with a zone, and what it answers; see
``c/README.md``. Pure.
"""

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
#: Calls of the slab allocator that an answer lists, each; of more only the number is told.
LISTED_CALLS: Final = 128

# Members of an enumeration are looked up by functions, which each operation would feel.
_ALLOC: Final = Verb.ALLOC
_FREE: Final = Verb.FREE
_PREALLOC: Final = Verb.PREALLOC
_BY_DOMAIN: Final = DomainSource.DOMAIN

_ITEM = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})", re.ASCII)
_CALLS = re.compile(r"[0-7]{1,128}", re.ASCII)
#: Of 32 bits: a counter that has become negative is a large number.
_COUNTERS = re.compile(r"[0-9]{1,10}(?:,[0-9]{1,10}){5}", re.ASCII)
_DOMAIN = re.compile(r"d([0-7])", re.ASCII)


class Counters(NamedTuple):
    """What a keg has in one domain.

    Args:
        pages: slabs' worth of ``ud_pages``.
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
    """What a guest says came of an operation.

    Args:
        item: its slab and its place in it; None without one.
        domain: in which the item's memory really lies; -1 without an item.
        calls: the domains that the slab allocator was asked for, in order.
        slept: how often the thread slept for memory.
        place: where the keg's iterator stands.
        changed: by domain, counters that are not as in the answer before.
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
    """A zone to be made.

    Args:
        size: of an item, in bytes.
        reserve: items.
        round_robin: instead of first-touch.
        hashed: slabs hash into one list.
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
    """An operation of a trace, as a guest is told it.

    Args:
        operation: the operation.
        slot: where an ``alloc`` puts its item, and a ``free`` takes it from.
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
    """What an answer to an operation says.

    Raises:
        Nonsense: not of the protocol's form.
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
    """The counters that a record has, by domain.

    Raises:
        Nonsense: not of the protocol's form.
    """
    return {
        int(domain[1]): Counters(*map(int, matched(_COUNTERS, value)[0].split(",")))
        for key, value in record.fields
        if (domain := _DOMAIN.fullmatch(key)) is not None
    }


def read_starved(record: ProbeRecord) -> Starved:
    """What an answer to ``starve`` says.

    Raises:
        Nonsense: not of the protocol's form.
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
