"""Every state of a small zone that a few operations lead to, and what holds in all of them.

States that differ only by which item of a slab is taken, or by which of equal slabs is which, are
one. So are those that turn into each other by renumbering the domains in a circle, as the keg's
policy treats all alike: the domain that the iterator has come to is made number 0. (Hashed zones
keep all slabs in domain 0, so their domains are not alike.) A breadth-first search finds the
shortest trace for whatever does not hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from harness.subsystems.uma.model.flags import (
    M_NOVM,
    M_NOWAIT,
    M_USE_RESERVE,
    M_WAITOK,
    UMA_ANYDOMAIN,
)
from harness.subsystems.uma.model.keg import Keg
from harness.subsystems.uma.model.slab import Domain, Slab
from harness.subsystems.uma.model.trace import Operation, Place, Player, Trace, Verb
from harness.subsystems.uma.model.zone import Shape

if TYPE_CHECKING:
    from harness.subsystems.uma.model.variants import Variant

_FLAGS: Final = (
    M_NOWAIT,
    M_NOWAIT | M_NOVM,
    M_NOWAIT | M_USE_RESERVE,
    M_NOWAIT | M_NOVM | M_USE_RESERVE,
    M_WAITOK,
    M_WAITOK | M_USE_RESERVE,
)
_ITEMS_PER_SLAB: Final = 2
_RESERVE: Final = 1
_FULL: Final = -1
#: How much longer a trace may be than the shortest that breaks something, to be looked for too.
_FURTHER: Final = 2


class Property(StrEnum):
    """What is looked at after every operation."""

    RESERVE = "an M_USE_RESERVE allocation succeeds whenever a domain has a free item"
    KEPT = "reserves are not touched without M_USE_RESERVE"
    ONCE = "no item is handed out twice"
    COUNTERS = "the counters of every domain agree with its lists"
    LOOP = "no allocation tries again for ever in domains that are short of memory"


class _DomainState(NamedTuple):
    """One domain: each slab by its free items and, in a hashed zone, its memory's domain."""

    low: bool
    refusing: bool
    part: tuple[int, ...]
    free: tuple[int, ...]
    full: tuple[int, ...]


_State = tuple[_DomainState, ...]


class _Move(NamedTuple):
    """An operation on a state; ``position`` says which slab a ``free`` goes to."""

    verb: Verb
    domain: int
    flags: int = 0
    position: int = 0


class _Came(NamedTuple):
    """How a state was first reached."""

    parent: _State
    move: _Move


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far to look.

    Args:
        domains: memory domains.
        slabs: that each domain has memory for; one with all of them in use has run out.
        depth: operations in a row.
        hashed: the zone's slabs hash into one list.
    """

    domains: int
    slabs: int
    depth: int
    hashed: bool = False

    @property
    def shape(self) -> Shape:
        """The zone: few items a slab, one of them a reserve."""
        return Shape(self.domains, _ITEMS_PER_SLAB, _RESERVE, hashed=self.hashed, slabs=self.slabs)


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found.

    Args:
        variant: of the code.
        bounds: as given.
        states: different ones, counting those alike once.
        operations: that were run.
        broken: for what does not hold, the shortest trace that shows it. Once something is
            broken, the search goes on for two operations more, and no further.
    """

    variant: Variant
    bounds: Bounds
    states: int
    operations: int
    broken: dict[Property, Trace] = field(default_factory=dict)

    @property
    def proven(self) -> bool:
        """Everything holds in all states."""
        return not self.broken


def explore(variant: Variant, bounds: Bounds) -> Findings:
    """Look at every state within the bounds."""
    return _Search(variant, bounds).run()


class _Search:
    def __init__(self, variant: Variant, bounds: Bounds) -> None:
        self._variant = variant
        self._bounds = bounds
        self._board = _Board(Keg(variant, bounds.shape))
        nothing = _DomainState(False, False, (), (), ())
        self._start = (nothing,) * bounds.domains
        self._came: dict[_State, _Came | None] = {self._start: None}
        self._broken: dict[Property, Trace] = {}
        self._operations = 0

    def run(self) -> Findings:
        """Search level by level, and not much further than where something breaks."""
        level = [self._start]
        last = self._bounds.depth
        depth = 0
        while depth < last:
            level = [new for state in level for new in self._expand(state)]
            depth += 1
            if self._broken:
                last = min(last, self._shortest() + _FURTHER)
        return Findings(
            self._variant, self._bounds, len(self._came), self._operations, self._broken
        )

    def _shortest(self) -> int:
        return min(len(trace.operations) for trace in self._broken.values())

    def _expand(self, state: _State) -> Iterator[_State]:
        board, came = self._board, self._came
        board.load(state)
        for move in _moves(state):
            self._operations += 1
            new, broken = board.play(move)
            if broken is not None and broken not in self._broken:
                self._broken[broken] = self._trace(state, move)
            if new not in came:
                came[new] = _Came(state, move)
                yield new

    def _trace(self, state: _State, last: _Move) -> Trace:
        moves = [last]
        while (came := self._came[state]) is not None:
            moves.append(came.move)
            state = came.parent
        return _written_out(self._variant, self._bounds.shape, moves[::-1])


def _moves(domains: _State) -> Iterator[_Move]:
    for domain, state in enumerate(domains):
        for flags in _FLAGS:
            yield _Move(Verb.ALLOC, domain, flags)
        for position in range(len(state.part)):
            yield _Move(Verb.FREE, domain, position=position)
        for position in range(len(set(state.full))):
            yield _Move(Verb.FREE, domain, position=_FULL - position)
        if state.free:
            yield _Move(Verb.DRAIN, domain)
        yield _Move(Verb.ACCEPT if state.refusing else Verb.REFUSE, domain)
        yield _Move(Verb.RECOVER if state.low else Verb.LOW, domain)
    for flags in _FLAGS:
        yield _Move(Verb.ALLOC, UMA_ANYDOMAIN, flags)
    yield _Move(Verb.PREALLOC, _ITEMS_PER_SLAB)


class _Board:
    """A keg that is put into a state, played on, and put back."""

    def __init__(self, keg: Keg) -> None:
        self._keg = keg
        self._hashed = keg.shape.hashed
        self._state: _State = ()
        self._in_use: list[int] = []

    def load(self, state: _State) -> None:
        """Put the keg into a state."""
        self._state = state
        keg = self._keg
        keg.slabs.clear()
        keg.in_use = self._in_use = [0] * len(state)
        for number, domain in enumerate(state):
            keg.uk_domain[number] = self._domain(number, domain)
            for slab in _slabs(keg.uk_domain[number]):
                self._in_use[slab.memory] += 1

    def play(self, move: _Move) -> tuple[_State, Property | None]:
        """What a move leads to, and what it breaks; the keg is as before afterwards."""
        keg, state = self._keg, self._state
        keg.in_use = self._in_use.copy()
        keg.uk_dr.dr_iter = 0
        keg.low = keg.refusing = 0
        for number, domain in enumerate(state):
            keg.low |= domain.low << number
            keg.refusing |= domain.refusing << number
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
            outcome = keg.uma_prealloc(move.domain)
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

    def _allocate(self, move: _Move) -> tuple[int | None, Property | None]:
        """The domain that has changed, if any, and what was broken."""
        keg, flags = self._keg, move.flags
        before = [dom.ud_free_items for dom in keg.uk_domain]
        keg.calls, keg.blocked = [], None
        slabs = sum(keg.in_use)
        slab = keg.keg_fetch_slab(move.domain, flags)
        blocked = keg.blocked
        if slab is None:
            if flags & M_USE_RESERVE and any(before):
                return None, Property.RESERVE
            if blocked is not None and not blocked.sleeps:
                short = keg.short()
                if all(short >> domain & 1 for domain in blocked.domains):
                    return None, Property.LOOP
            return None, None
        fresh = sum(keg.in_use) > slabs
        broken = None
        if not (flags & M_USE_RESERVE or fresh) and before[slab.us_domain] <= _RESERVE:
            broken = Property.KEPT
        if slab.us_free.bit_count() != slab.us_freecount or not slab.us_free:
            broken = Property.ONCE
        keg.slab_alloc_item(slab)
        return slab.us_domain, broken

    def _free(self, move: _Move) -> None:
        slab, index = _victim(self._keg, move)
        self._keg.slab_free_item(slab, index)

    def _domain(self, number: int, state: _DomainState) -> Domain:
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

    def _seen(self, before: _DomainState, domain: Domain) -> _DomainState:
        weight = self._keg.shape.ipers + 1 if self._hashed else 0
        return _DomainState(
            before.low,
            before.refusing,
            tuple([slab.us_freecount + weight * slab.memory for slab in domain.ud_part_slab]),
            tuple([slab.us_freecount + weight * slab.memory for slab in domain.ud_free_slab]),
            tuple(sorted([weight * slab.memory for slab in domain.ud_full_slab])),
        )

    def _canonical(self, place: int, domains: _State) -> _State:
        place %= len(domains)
        if not place:
            return domains
        turned = domains[place:] + domains[:place]
        return self._with_lists_in_front(place, domains[0], turned) if self._hashed else turned

    def _with_lists_in_front(self, place: int, lists: _DomainState, turned: _State) -> _State:
        """A hashed zone's slabs stay in domain 0; only what they say of their memory turns."""
        weight, domains = self._keg.shape.ipers + 1, len(turned)

        def turn(tokens: tuple[int, ...]) -> list[int]:
            return [
                (token // weight - place) % domains * weight + token % weight for token in tokens
            ]

        bare = [_DomainState(domain.low, domain.refusing, (), (), ()) for domain in turned]
        bare[0] = bare[0]._replace(
            part=tuple(turn(lists.part)),
            free=tuple(turn(lists.free)),
            full=tuple(sorted(turn(lists.full))),
        )
        return tuple(bare)


def _toggled(domains: _State, move: _Move) -> _State:
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


def _victim(keg: Keg, move: _Move, turn: int = 0) -> tuple[Slab, int]:
    """The slab that a ``free`` names, and the lowest item taken from it."""
    domain = keg.uk_domain[move.domain]
    if move.position > _FULL:
        slab = domain.ud_part_slab[move.position]
    else:
        domains = keg.shape.domains
        by_memory = {(slab.memory - turn) % domains: slab for slab in domain.ud_full_slab}
        slab = by_memory[sorted(by_memory)[_FULL - move.position]]
    taken = ~slab.us_free
    return slab, (taken & -taken).bit_length() - 1


def _written_out(variant: Variant, shape: Shape, moves: list[_Move]) -> Trace:
    """The moves with the domains' real numbers and the items' operations."""
    player = Player(variant, shape)
    giver: dict[int, int] = {}
    operations: list[Operation] = []
    for move in moves:
        operation = _real(move, player.keg, giver)
        operations.append(operation)
        outcome = player.play(operation).outcome
        if outcome is not None and outcome.item is not None:
            giver[outcome.item] = len(operations)
    return Trace(variant, shape, tuple(operations))


def _real(move: _Move, keg: Keg, giver: dict[int, int]) -> Operation:
    if move.verb is Verb.PREALLOC:
        return Operation(Verb.PREALLOC, move.domain)
    # The iterator stands at the domain that the search calls 0.
    turn = keg.uk_dr.dr_iter
    domain = move.domain
    lists_stay = keg.shape.hashed and move.verb in (Verb.FREE, Verb.DRAIN)
    if domain != UMA_ANYDOMAIN and not lists_stay:
        domain = (domain + turn) % keg.shape.domains
    if move.verb is Verb.FREE:
        slab, index = _victim(keg, move._replace(domain=domain), turn)
        return Operation(Verb.FREE, giver[slab.number * keg.shape.ipers + index])
    return Operation(move.verb, domain, move.flags, Place.DOMAIN)
