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
    """Who says from which domain an allocation is."""

    CPU = "cpu"
    DOMAIN = "domain"


_MEANING: Mapping[Verb, str] = {
    Verb.DRAIN: "{1} free slabs of domain {0} go back",
    Verb.REFUSE: "the slab allocator finds nothing in domain {}",
    Verb.ACCEPT: "the slab allocator finds memory in domain {} again",
    Verb.LOW: "domain {} is below its minimum of free pages",
    Verb.RECOVER: "domain {} is above its minimum of free pages again",
}


# Members of an enumeration are looked up by functions, which playing would feel.
_ALLOC: Final = Verb.ALLOC
_FREE: Final = Verb.FREE
_PREALLOC: Final = Verb.PREALLOC
_BY_CPU: Final = DomainSource.CPU


class Operation(NamedTuple):
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
    place: DomainSource = _BY_CPU
    meanwhile: int = 0

    def __str__(self) -> str:
        if self.verb is _ALLOC:
            domain = "any" if self.number == UMA_ANYDOMAIN else self.number
            meanwhile = f" meanwhile={self.meanwhile}" if self.meanwhile else ""
            return f"{self.verb} {self.place}={domain} {flags_in_words(self.flags)}{meanwhile}"
        return f"{self.verb} {self.number}"


class Step(NamedTuple):
    """What an operation came to.

    Args:
        number: counts from 1.
        operation: what was done.
        outcome: of an ``alloc`` or ``prealloc``.
        place: where the keg's iterator stands afterwards.
        slab: that the item came from, if steps are explained, as all that follows.
        result: one line.
        why: the kernel's decisions on the way.
        free_items: in each domain, afterwards.
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
    """Runs operations on a model of a zone, one after the other.

    Args:
        variant: of the kernel's code.
        shape: of the zone.
        explains: whether steps say what came of them in words, and why; it takes half of the time.
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
        if operation.place is _BY_CPU:
            return self.zone.uma_zalloc(operation.flags, operation.number)
        if operation.number == UMA_ANYDOMAIN:
            return self.zone.zone_alloc_item(UMA_ANYDOMAIN, operation.flags)
        return self.zone.uma_zalloc_domain(operation.number, operation.flags)

    def _told(
        self, operation: Operation, outcome: Allocation | None, changed: int
    ) -> tuple[str, int | None]:
        """The result in words, and the slab of a fresh item.

        Args:
            operation: the operation.
            outcome: of an ``alloc`` or ``prealloc``.
            changed: the item of a ``free``, the slabs that a ``drain`` gave back.
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
        """Drain or change a domain; how many slabs went back."""
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
