"""Random traces, weighted towards rare states; pure.

The same seed gives the same trace.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.check.weighted import Weighted
from harness.subsystems.domainset.model.sets import mask_of
from harness.subsystems.uma.check.observation import Observation, of_model
from harness.subsystems.uma.model.flags import M_NOVM, M_NOWAIT, M_USE_RESERVE, M_WAITOK
from harness.subsystems.uma.model.player import DomainSource, Operation, Player, Verb

if TYPE_CHECKING:
    from harness.subsystems.uma.model.shape import Shape
    from harness.subsystems.uma.model.variants import Variant

#: Items per slab: few, so that slabs and reserves are used up; and 42, as for map entries.
ITEMS_PER_SLAB: Final = (1, 2, 2, 3, 4, 8, 42)

#: The call of one operation at which the slab allocator succeeds; failing ones make fewer calls.
PATIENCE: Final = 40

_ANY_FLAGS: Final = (
    (M_NOWAIT, 6),
    (M_NOWAIT | M_NOVM, 4),
    (M_NOWAIT | M_USE_RESERVE, 5),
    (M_NOWAIT | M_NOVM | M_USE_RESERVE, 6),
    (M_WAITOK, 6),
    (M_WAITOK | M_USE_RESERVE, 2),
)
#: Flags of a phase that uses up reserves: nothing is freed, and few allocations get new slabs.
_HUNGRY: Final = (
    (M_NOWAIT | M_NOVM, 3),
    (M_NOWAIT | M_NOVM | M_USE_RESERVE, 6),
    (M_NOWAIT | M_USE_RESERVE, 2),
    (M_WAITOK | M_USE_RESERVE, 1),
)
#: Flags by whether slabs are hashed, and whether it is such a phase. Hashed slabs come from a stock
#: allocator, which asserts on the last flags (malloc2vm_flags).
_FLAGS: Final = {
    (False, False): Weighted(_ANY_FLAGS),
    (False, True): Weighted(_HUNGRY),
    (True, False): Weighted(_ANY_FLAGS[:-1]),
    (True, True): Weighted(_HUNGRY[:-1]),
}
# Looking up members of an enumeration would slow the loop below.
_ALLOC: Final = Verb.ALLOC
_FREE: Final = Verb.FREE
_PREALLOC: Final = Verb.PREALLOC
_BY_CPU: Final = DomainSource.CPU
_BY_DOMAIN: Final = DomainSource.DOMAIN
_VERBS: Final = Weighted(
    (
        (_ALLOC, 60),
        (_FREE, 18),
        (Verb.REFUSE, 5),
        (Verb.ACCEPT, 4),
        (Verb.LOW, 4),
        (Verb.RECOVER, 3),
        (Verb.DRAIN, 5),
        (_PREALLOC, 4),
    )
)
#: Kinds of a check's zones, in turn.
_KINDS: Final = ("first-touch", "first-touch", "round-robin", "first-touch", "hashed")
#: Probability of a famine, in which no domain has memory and threads wait: in zones that wait for
#: all domains, and in zones that wait for one.
_FAMINES: Final = {"round-robin": 0.7, "first-touch": 0.1}
#: Allocations in a famine; the first may still find a free item.
_FAMINE_ALLOCATIONS: Final = 3
#: Probability that another CPU frees an item while an allocation calls the slab allocator.
_MEANWHILE: Final = 0.1
#: The same if the domain has no memory: only then the last search of the domain finds an item.
_MEANWHILE_SPENT: Final = 0.7
#: Number of slabs of a domain above which more items are freed than allocated.
_MANY_SLABS: Final = 6


@dataclass(frozen=True, slots=True)
class ZonePlan:
    """The parameters of a zone.

    Args:
        ipers: items per slab.
        reserve: items in the reserve.
        round_robin: whether its policy is round-robin; else first-touch.
        hashed: whether its slabs are in one list (``UMA_ZFLAG_HASH``).
    """

    ipers: int
    reserve: int
    round_robin: bool
    hashed: bool


def zone_plan(rng: random.Random, number: int, *, hashed: bool) -> ZonePlan:
    """Return a random zone; most are first-touch, with a reserve of up to two slabs.

    Args:
        rng: the source of randomness.
        number: number of the zone in the check, from 0.
        hashed: whether the guest supports hashed slabs.
    """
    ipers = rng.choice(ITEMS_PER_SLAB)
    reserve = rng.choice((0, 1, 1, ipers, ipers + 1, 2 * ipers)) if ipers > 1 else rng.randint(0, 3)
    kind = _KINDS[number % len(_KINDS)]
    return ZonePlan(ipers, reserve, kind == "round-robin", hashed and kind == "hashed")


def random_operations(
    rng: random.Random, variant: Variant, shape: Shape, length: int
) -> tuple[Operation, ...]:
    """Return operations that end, and on which the kernel does not assert.

    Args:
        rng: the source of randomness.
        variant: the variant of the model, which determines the valid operations.
        shape: the zone.
        length: number of operations.
    """
    return tuple(operation for operation, _ in random_steps(rng, variant, shape, length))


def random_steps(
    rng: random.Random, variant: Variant, shape: Shape, length: int
) -> Iterator[tuple[Operation, Observation]]:
    """Generate the same operations, each with the model's observation."""
    writer = _Writer(rng, variant, shape)
    for _ in range(length):
        yield writer.write()


class _Writer:
    def __init__(self, rng: random.Random, variant: Variant, shape: Shape) -> None:
        self._rng = rng
        self._shape = shape
        self._player = Player(variant, shape, explains=False)
        self._held: list[int] = []
        self._number = 0
        self._domains = [d for d in range(shape.domains) if not shape.empty >> d & 1]
        self._usable = mask_of(self._domains)
        self._favourite = rng.choice(self._domains)
        self._hungry = True
        self._famine: deque[Operation] = deque()

    def write(self) -> tuple[Operation, Observation]:
        """Return the next operation, and the model's observation."""
        self._number += 1
        if self._rng.random() < 1 / 16:
            self._favourite = self._rng.choice(self._domains)
            self._hungry = self._rng.random() < 0.4
            kind = "first-touch" if self._shape.first_touch else "round-robin"
            if not self._famine and self._rng.random() < _FAMINES[kind]:
                self._famine.extend(self._famine_operations())
        operation = self._famine.popleft() if self._famine else self._operation()
        step = self._player.play(operation)
        if operation.verb is _ALLOC and step.outcome and step.outcome.item is not None:
            self._held.append(self._number)
        if operation.meanwhile and self._player.domain_of(operation.meanwhile) is None:
            self._held.remove(operation.meanwhile)
        return operation, of_model(self._player, step)

    def _operation(self) -> Operation:
        verb = self._verb()
        if verb is _ALLOC:
            return self._allocation()
        if verb is _FREE:
            return Operation(verb, self._held.pop(self._rng.randrange(len(self._held))))
        if verb is _PREALLOC:
            # Several slabs at once: a drain then has some to keep and more to let go.
            slabs = self._rng.choice((1, 1, 2, 4, 7))
            return Operation(verb, self._rng.randint(1, slabs * self._shape.ipers))
        return Operation(verb, self._domain())

    def _famine_operations(self) -> Iterator[Operation]:
        """Generate a famine: no domain has memory, and threads wait; then one has memory again."""
        for domain in self._domains:
            yield Operation(Verb.REFUSE, domain)
            yield Operation(Verb.LOW, domain)
        for _ in range(_FAMINE_ALLOCATIONS):
            yield Operation(_ALLOC, self._cpu_domain(), M_WAITOK)
        yield Operation(Verb.ACCEPT, self._domain())

    def _verb(self) -> Verb:
        verb = _VERBS.choose(self._rng)
        memory = self._player.zone.memory
        crowded = sum(memory.in_use) > _MANY_SLABS * len(self._domains)
        if crowded and (verb is _ALLOC or verb is _PREALLOC) and self._held:
            verb = _FREE
        elif verb is _FREE and (self._hungry or not self._held):
            verb = _ALLOC
        if verb is _PREALLOC and (crowded or not self._usable & ~memory.refusing):
            verb = Verb.ACCEPT
        return verb

    def _allocation(self) -> Operation:
        if self._shape.first_touch and self._rng.random() < 0.5:
            domain, place = self._domain(), _BY_DOMAIN
        else:
            domain, place = self._cpu_domain(), _BY_CPU
        meanwhile = self._meanwhile(domain)
        if meanwhile and self._is_spent(domain):
            return Operation(_ALLOC, domain, M_NOWAIT, place, meanwhile)
        flags = _FLAGS[self._shape.hashed, self._hungry].choose(self._rng)
        return Operation(_ALLOC, domain, flags, place, meanwhile)

    def _meanwhile(self, domain: int) -> int:
        """Return an item to free during an allocation, preferably of its domain; 0 for none."""
        chance = _MEANWHILE_SPENT if self._is_spent(domain) else _MEANWHILE
        if not self._held or self._rng.random() >= chance:
            return 0
        there = [held for held in self._held if self._player.domain_of(held) == domain]
        return self._rng.choice(there or self._held)

    def _is_spent(self, domain: int) -> bool:
        """Return whether an allocation that cannot wait fails in the domain."""
        zone = self._player.zone
        free = zone.uz_keg.uk_domain[domain].ud_free_items
        return bool(zone.memory.refusing >> domain & 1) and free <= zone.uz_keg.uk_reserve

    def _domain(self) -> int:
        return self._favourite if self._rng.random() < 0.6 else self._rng.choice(self._domains)

    def _cpu_domain(self) -> int:
        """Return the domain of a CPU, which may have no memory."""
        if self._rng.random() < 0.2:
            return self._rng.randrange(self._shape.domains)
        return self._domain()
