"""Operations on one zone, and a model that runs them one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

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
    """What selects the domain of an allocation."""

    CPU = "cpu"
    DOMAIN = "domain"


_MEANING: Mapping[Verb, str] = {
    Verb.DRAIN: "{1} free slabs of domain {0} go back",
    Verb.REFUSE: "the slab allocator finds nothing in domain {}",
    Verb.ACCEPT: "the slab allocator finds memory in domain {} again",
    Verb.LOW: "domain {} is below its minimum of free pages",
    Verb.RECOVER: "domain {} is above its minimum of free pages again",
}


# Looking up members of an enumeration would slow each operation.
_ALLOC: Final = Verb.ALLOC
_FREE: Final = Verb.FREE
_PREALLOC: Final = Verb.PREALLOC
_BY_CPU: Final = DomainSource.CPU


class Operation(NamedTuple):
    """One line of a trace.

    Args:
        verb: the kind of operation.
        number: number of items for a ``prealloc``, number of an earlier operation for a ``free``,
            else a domain; for an ``alloc``, that of the CPU or of the memory, by ``place``.
        flags: flags of an ``alloc``.
        place: what selects the domain of an ``alloc``.
        meanwhile: an earlier operation whose item is freed during an ``alloc``; 0 for none.
    """

    verb: Verb
    number: int
    flags: int = 0
    place: DomainSource = _BY_CPU
    meanwhile: int = 0

    def __str__(self) -> str:
        if self.verb is _ALLOC:
            domain = "any" if self.number == UMA_ANYDOMAIN else self.number
            meanwhile = f" meanwhile={self.meanwhile}" if self.meanwhile else ""
            return f"{self.verb} {self.place}={domain} {flags_in_words(self.flags)}{meanwhile}"
        return f"{self.verb} {self.number}"


class Step(NamedTuple):
    """The result of an operation; the last four only if steps are explained.

    Args:
        number: number of the operation, from 1.
        operation: the operation.
        outcome: result of an ``alloc`` or ``prealloc``.
        place: the keg's iterator afterwards.
        slab: the item's slab.
        result: the result in one line.
        why: the kernel's decisions.
        free_items: number of free items in each domain afterwards.
    """

    number: int
    operation: Operation
    outcome: Allocation | None
    place: int
    slab: int | None = None
    result: str = ""
    why: tuple[str, ...] = ()
    free_items: tuple[int, ...] = ()


class Player:
    """Runs operations on a model of a zone.

    Args:
        variant: the form of the kernel's code.
        shape: the zone's parameters.
        explains: whether steps have results and reasons in words, which doubles the time.
    """

    def __init__(self, variant: Variant, shape: Shape, *, explains: bool = True) -> None:
        self._explains = explains
        self.zone = Zone(variant, shape)
        self._items: dict[int, int] = {}
        self._number = 0

    def play(self, operation: Operation) -> Step:
        """Run one operation.

        Raises:
            KernelAssertion: the kernel would fail an assertion.
            UsageError: it names a domain or an item that does not exist.
        """
        zone, self._number = self.zone, self._number + 1
        verb, number = operation.verb, operation.number
        why: list[str] = []
        zone.memory.why = why if self._explains else None
        outcome, changed = None, 0
        if verb is _FREE:
            changed = self._held(number)
            del self._items[number]
            zone.uma_zfree(changed)
        elif verb is _ALLOC:
            outcome = self._allocate(operation)
        elif verb is _PREALLOC:
            outcome = zone.uma_prealloc(number)
        else:
            changed = self._change(verb, number)
        keg = zone.uz_keg
        if not self._explains:
            return Step(self._number, operation, outcome, keg.uk_dr.dr_iter)
        result, slab = self._told(operation, outcome, changed)
        return Step(
            self._number, operation, outcome, keg.uk_dr.dr_iter, slab, result, tuple(why),
            tuple(domain.ud_free_items for domain in keg.uk_domain),
        )  # fmt: skip

    def domain_of(self, number: int) -> int | None:
        """Return the domain of the memory of an operation's item; None after it was freed."""
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
        if operation.place is _BY_CPU:
            return self.zone.uma_zalloc(operation.flags, operation.number)
        if operation.number == UMA_ANYDOMAIN:
            return self.zone.zone_alloc_item(UMA_ANYDOMAIN, operation.flags)
        return self.zone.uma_zalloc_domain(operation.number, operation.flags)

    def _told(
        self, operation: Operation, outcome: Allocation | None, changed: int
    ) -> tuple[str, int | None]:
        """Return the result in words, and the slab of a new item.

        Args:
            operation: the operation.
            outcome: result of an ``alloc`` or ``prealloc``.
            changed: the item of a ``free``, or the number of slabs that a ``drain`` freed.
        """
        ipers = self.zone.shape.ipers
        if operation.verb is _FREE:
            return f"slab {changed // ipers} has item {changed % ipers} back", None
        if outcome is None:
            return _MEANING[operation.verb].format(operation.number, changed), None
        if outcome.item is None:
            done = "done" if operation.verb is _PREALLOC else "no item"
            return str(outcome.blocked or done), None
        slab, index = divmod(outcome.item, ipers)
        return f"item {index} of slab {slab}, domain {outcome.domain}", slab

    def _held(self, number: int) -> int:
        if number not in self._items:
            raise UsageError(
                f"operation {self._number} frees what operation {number} got, and that has nothing",
                remedy="name an alloc that got an item and was not freed",
            )
        return self._items[number]

    def _change(self, verb: Verb, domain: int) -> int:
        """Drain or change a domain; return the number of freed slabs."""
        memory, shape = self.zone.memory, self.zone.shape
        if domain >= shape.domains:
            raise UsageError(
                f"operation {self._number}: there is no domain {domain}",
                remedy=f"name one from 0 to {shape.domains - 1}",
            )
        bit = 1 << domain
        if verb is Verb.DRAIN:
            return self.zone.uma_zone_reclaim_domain(domain)
        if verb is Verb.REFUSE:
            memory.refusing |= bit
        elif verb is Verb.ACCEPT:
            memory.refusing &= ~bit | shape.empty
        elif verb is Verb.LOW:
            memory.vm_min_domains |= bit
        else:
            memory.vm_min_domains &= ~bit
        return 0
