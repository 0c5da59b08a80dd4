"""Operations on one zone, and a model that runs them one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.subsystems.uma.model.flags import UMA_ANYDOMAIN, flags_in_words
from harness.subsystems.uma.model.zone import Allocation, Zone

if TYPE_CHECKING:
    from harness.subsystems.uma.model.shape import Shape
    from harness.subsystems.uma.model.variants import Variant


class Verb(StrEnum):
    """What an operation does."""

    PREALLOC = "prealloc"
    ALLOC = "alloc"
    FREE = "free"
    DRAIN = "drain"
    REFUSE = "refuse"
    ACCEPT = "accept"
    LOW = "low"
    RECOVER = "recover"


class DomainSource(StrEnum):
    """Who says from which domain an allocation is."""

    CPU = "cpu"
    DOMAIN = "domain"


_MEANING: Mapping[Verb, str] = {
    Verb.REFUSE: "the slab allocator finds nothing in domain {}",
    Verb.ACCEPT: "the slab allocator finds memory in domain {} again",
    Verb.LOW: "domain {} is below its minimum of free pages",
    Verb.RECOVER: "domain {} is above its minimum of free pages again",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One line of a trace.

    Args:
        verb: what is done.
        number: items of a ``prealloc``, an earlier operation for a ``free``, else a domain:
            of the CPU or of the memory for an ``alloc``, by ``place``.
        flags: of an ``alloc``.
        place: of an ``alloc``.
        meanwhile: of an ``alloc``: an earlier operation whose item is freed during it; 0: none.
    """

    verb: Verb
    number: int
    flags: int = 0
    place: DomainSource = DomainSource.CPU
    meanwhile: int = 0

    def __str__(self) -> str:
        if self.verb is Verb.ALLOC:
            domain = "any" if self.number == UMA_ANYDOMAIN else self.number
            meanwhile = f" meanwhile={self.meanwhile}" if self.meanwhile else ""
            return f"{self.verb} {self.place}={domain} {flags_in_words(self.flags)}{meanwhile}"
        return f"{self.verb} {self.number}"


@dataclass(frozen=True, slots=True)
class Step:
    """What an operation came to.

    Args:
        number: counts from 1.
        operation: what was done.
        outcome: of an ``alloc`` or ``prealloc``.
        slab: that the item came from.
        result: one line.
        why: the kernel's decisions on the way.
        free_items: in each domain, afterwards.
        place: where the keg's iterator stands afterwards.
    """

    number: int
    operation: Operation
    outcome: Allocation | None
    slab: int | None
    result: str
    why: tuple[str, ...]
    free_items: tuple[int, ...]
    place: int


class Player:
    """Runs operations on a model of a zone, one after the other.

    Args:
        variant: of the kernel's code.
        shape: of the zone.
        explains: whether steps say why; it takes a third of the time.
    """

    def __init__(self, variant: Variant, shape: Shape, *, explains: bool = True) -> None:
        self._explains = explains
        self.zone = Zone(variant, shape)
        self._items: dict[int, int] = {}
        self._number = 0

    def play(self, operation: Operation) -> Step:
        """Run one operation.

        Raises:
            KernelAssertion: the kernel asserts against it.
            UsageError: it names a domain or an item that is not there.
        """
        zone, self._number = self.zone, self._number + 1
        why: list[str] = []
        zone.memory.why = why if self._explains else None
        outcome, slab = None, None
        verb, number = operation.verb, operation.number
        if verb is Verb.FREE:
            item = self._held(number)
            del self._items[number]
            zone.uma_zfree(item)
            result = f"slab {item // zone.shape.ipers} has item {item % zone.shape.ipers} back"
        elif verb is Verb.ALLOC:
            outcome = self._allocate(operation)
            result, slab = self._told(outcome)
        elif verb is Verb.PREALLOC:
            outcome = zone.uma_prealloc(number)
            result = str(outcome.blocked) if outcome.blocked else "done"
        else:
            result = self._change(verb, number)
        return Step(
            self._number, operation, outcome, slab, result, tuple(why),
            tuple(domain.ud_free_items for domain in zone.uz_keg.uk_domain),
            zone.uz_keg.uk_dr.dr_iter,
        )  # fmt: skip

    def domain_of(self, number: int) -> int | None:
        """Where the memory of what an operation got lies; None once it is given back."""
        item = self._items.get(number)
        return None if item is None else self.zone.domain_of(item)

    def _allocate(self, operation: Operation) -> Allocation:
        meanwhile = operation.meanwhile
        self.zone.frees_meanwhile(self._held(meanwhile) if meanwhile else None)
        outcome = self._asked(operation)
        if meanwhile and self.zone.memory.meanwhile is None:
            del self._items[meanwhile]
        self.zone.frees_meanwhile(None)
        if outcome.item is not None:
            self._items[self._number] = outcome.item
        return outcome

    def _asked(self, operation: Operation) -> Allocation:
        if operation.place is DomainSource.CPU:
            return self.zone.uma_zalloc(operation.flags, operation.number)
        if operation.number == UMA_ANYDOMAIN:
            return self.zone.zone_alloc_item(UMA_ANYDOMAIN, operation.flags)
        return self.zone.uma_zalloc_domain(operation.number, operation.flags)

    def _told(self, outcome: Allocation) -> tuple[str, int | None]:
        if outcome.item is None:
            return str(outcome.blocked) if outcome.blocked else "no item", None
        slab, index = divmod(outcome.item, self.zone.shape.ipers)
        return f"item {index} of slab {slab}, domain {outcome.domain}", slab

    def _held(self, number: int) -> int:
        if number not in self._items:
            raise UsageError(
                f"operation {self._number} frees what operation {number} got, and that has nothing",
                remedy="name an alloc that got an item and was not freed",
            )
        return self._items[number]

    def _change(self, verb: Verb, domain: int) -> str:
        memory, shape = self.zone.memory, self.zone.shape
        if domain >= shape.domains:
            raise UsageError(
                f"operation {self._number}: there is no domain {domain}",
                remedy=f"name one from 0 to {shape.domains - 1}",
            )
        bit = 1 << domain
        if verb is Verb.DRAIN:
            gone = self.zone.uma_zone_reclaim_domain(domain)
            return f"{gone} free slabs of domain {domain} go back"
        if verb is Verb.REFUSE:
            memory.refusing |= bit
        elif verb is Verb.ACCEPT:
            memory.refusing &= ~bit | shape.empty
        elif verb is Verb.LOW:
            memory.vm_min_domains |= bit
        else:
            memory.vm_min_domains &= ~bit
        return _MEANING[verb].format(domain)
