"""A zone that can be set to a state, to run a move and check properties."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from harness.subsystems.uma.model.flags import M_USE_RESERVE
from harness.subsystems.uma.model.memory import DoesNotEnd
from harness.subsystems.uma.model.player import Verb
from harness.subsystems.uma.model.slab import Domain, Slab

if TYPE_CHECKING:
    from harness.subsystems.uma.model.zone import Zone

FULL: Final = -1
"""The position of the first full slab; the next ones have lower numbers."""


class Property(StrEnum):
    """The properties that are checked after each operation."""

    RESERVE = "an M_USE_RESERVE allocation succeeds whenever a domain has a free item"
    KEPT = "reserves are not touched without M_USE_RESERVE"
    ONCE = "no item is handed out twice"
    COUNTERS = "the counters of every domain agree with its lists"
    LOOP = "no allocation tries again for ever in domains that are short of memory"


class DomainState(NamedTuple):
    """One domain: each slab by its free items and, in a hashed zone, its memory's domain."""

    low: bool
    refusing: bool
    part: tuple[int, ...]
    free: tuple[int, ...]
    full: tuple[int, ...]


State = tuple[DomainState, ...]


class Move(NamedTuple):
    """An operation on a state; ``position`` selects the slab of a ``free``."""

    verb: Verb
    domain: int
    flags: int = 0
    position: int = 0


class ExploredKeg:
    """A keg that is set to a state, runs a move, and is reset."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._keg = zone.uz_keg
        self._memory = zone.memory
        self._hashed = zone.shape.hashed
        self._state: State = ()
        self._in_use: list[int] = []

    def load(self, state: State) -> None:
        """Set the keg to a state."""
        self._state = state
        keg = self._keg
        keg.slabs.clear()
        self._in_use = [0] * len(state)
        for number, domain in enumerate(state):
            keg.uk_domain[number] = self._domain(number, domain)
            for slab in _slabs(keg.uk_domain[number]):
                self._in_use[slab.memory] += 1

    def play(self, move: Move) -> tuple[State, Property | None]:
        """Return the state after a move, and the property that it breaks; resets the keg."""
        keg, memory, state = self._keg, self._memory, self._state
        memory.in_use = self._in_use.copy()
        keg.uk_dr.dr_iter = 0
        memory.vm_min_domains = memory.refusing = 0
        for number, domain in enumerate(state):
            memory.vm_min_domains |= domain.low << number
            memory.refusing |= domain.refusing << number
        broken: Property | None = None
        touched: int | None = move.domain
        domains = state
        if move.verb is Verb.ALLOC:
            touched, broken = self._allocate(move)
        elif move.verb is Verb.FREE:
            self._free(move)
        elif move.verb is Verb.DRAIN:
            keg.keg_drain_domain(move.domain)
        elif move.verb is Verb.PREALLOC:
            outcome = self._zone.uma_prealloc(move.domain)
            touched = None if outcome.blocked else 0 if self._hashed else outcome.domain
        else:
            domains = _toggled(domains, move)
            touched = None
        if touched is not None:
            dom = keg.uk_domain[touched]
            if not _adds_up(dom, keg.shape.ipers):
                broken = Property.COUNTERS
            changed = self._seen(domains[touched], dom)
            domains = (*domains[:touched], changed, *domains[touched + 1 :])
            keg.uk_domain[touched] = self._domain(touched, state[touched])
        return self._canonical(keg.uk_dr.dr_iter, domains), broken

    def _allocate(self, move: Move) -> tuple[int | None, Property | None]:
        """Return the changed domain and the broken property, if any."""
        keg, memory, flags = self._keg, self._memory, move.flags
        before = [dom.ud_free_items for dom in keg.uk_domain]
        memory.begin()
        slabs = sum(memory.in_use)
        blocked = None
        try:
            slab = keg.keg_fetch_slab(move.domain, flags)
        except DoesNotEnd as ended:
            slab, blocked = None, ended.blocked
        if slab is None:
            if flags & M_USE_RESERVE and any(before):
                return None, Property.RESERVE
            if blocked is not None and not blocked.sleeps:
                short = memory.short()
                if all(short >> domain & 1 for domain in blocked.domains):
                    return None, Property.LOOP
            return None, None
        fresh = sum(memory.in_use) > slabs
        broken = None
        if not (flags & M_USE_RESERVE or fresh) and before[slab.us_domain] <= keg.uk_reserve:
            broken = Property.KEPT
        if slab.us_free.bit_count() != slab.us_freecount or not slab.us_free:
            broken = Property.ONCE
        keg.slab_alloc_item(slab)
        return slab.us_domain, broken

    def _free(self, move: Move) -> None:
        slab, index = victim(self._zone, move)
        self._keg.slab_free_item(slab, index)

    def _domain(self, number: int, state: DomainState) -> Domain:
        ipers = self._keg.shape.ipers
        domain = Domain()
        for listed, lists in (
            (state.part, domain.ud_part_slab),
            (state.free, domain.ud_free_slab),
            (state.full, domain.ud_full_slab),
        ):
            for token in listed:
                memory, free = divmod(token, ipers + 1) if self._hashed else (number, token)
                slab = Slab(-1 - len(self._keg.slabs), number, memory, ipers)
                self._keg.slabs[slab.number] = slab
                slab.us_freecount = free
                slab.us_free = (1 << ipers) - 1 & -1 << (ipers - free)
                lists.append(slab)
                domain.ud_free_items += free
        domain.ud_free_slabs = len(state.free)
        domain.ud_pages = len(state.part) + len(state.free) + len(state.full)
        return domain

    def _seen(self, before: DomainState, domain: Domain) -> DomainState:
        weight = self._keg.shape.ipers + 1 if self._hashed else 0
        return DomainState(
            before.low,
            before.refusing,
            tuple([slab.us_freecount + weight * slab.memory for slab in domain.ud_part_slab]),
            tuple([slab.us_freecount + weight * slab.memory for slab in domain.ud_free_slab]),
            tuple(sorted([weight * slab.memory for slab in domain.ud_full_slab])),
        )

    def _canonical(self, place: int, domains: State) -> State:
        place %= len(domains)
        if not place:
            return domains
        turned = domains[place:] + domains[:place]
        return self._with_lists_in_front(place, domains[0], turned) if self._hashed else turned

    def _with_lists_in_front(self, place: int, lists: DomainState, turned: State) -> State:
        """Renumber the memory of a hashed zone's slabs, which stay in the lists of domain 0."""
        weight, domains = self._keg.shape.ipers + 1, len(turned)

        def turn(tokens: tuple[int, ...]) -> list[int]:
            return [
                (token // weight - place) % domains * weight + token % weight for token in tokens
            ]

        bare = [DomainState(domain.low, domain.refusing, (), (), ()) for domain in turned]
        bare[0] = bare[0]._replace(
            part=tuple(turn(lists.part)),
            free=tuple(turn(lists.free)),
            full=tuple(sorted(turn(lists.full))),
        )
        return tuple(bare)


def _toggled(domains: State, move: Move) -> State:
    changed = domains[move.domain]
    if move.verb in (Verb.LOW, Verb.RECOVER):
        changed = changed._replace(low=not changed.low)
    else:
        changed = changed._replace(refusing=not changed.refusing)
    return (*domains[: move.domain], changed, *domains[move.domain + 1 :])


def _slabs(domain: Domain) -> Iterator[Slab]:
    yield from domain.ud_part_slab
    yield from domain.ud_free_slab
    yield from domain.ud_full_slab


def _adds_up(domain: Domain, ipers: int) -> bool:
    slabs = list(_slabs(domain))
    return (
        domain.ud_free_items == sum([slab.us_freecount for slab in slabs])
        and domain.ud_free_slabs == len(domain.ud_free_slab)
        and domain.ud_pages == len(slabs)
        and all(0 < slab.us_freecount < ipers for slab in domain.ud_part_slab)
        and all(slab.us_freecount == ipers for slab in domain.ud_free_slab)
        and not any(slab.us_freecount for slab in domain.ud_full_slab)
    )


def victim(zone: Zone, move: Move, turn: int = 0) -> tuple[Slab, int]:
    """Return the slab of a ``free``, and its lowest allocated item."""
    domain = zone.uz_keg.uk_domain[move.domain]
    if move.position > FULL:
        slab = domain.ud_part_slab[move.position]
    else:
        domains = zone.shape.domains
        by_memory = {(slab.memory - turn) % domains: slab for slab in domain.ud_full_slab}
        slab = by_memory[sorted(by_memory)[FULL - move.position]]
    taken = ~slab.us_free
    return slab, (taken & -taken).bit_length() - 1
