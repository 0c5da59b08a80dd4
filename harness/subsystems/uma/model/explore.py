"""The search of all states of a small zone within a few operations, and its properties.

States are equivalent if they differ only by which item of a slab is allocated, by the order of
equal slabs, or by a rotation of the domains' numbers, because the keg's policy treats all domains
alike: the iterator's domain gets number 0. (Hashed zones keep all slabs in domain 0, so their
domains are not alike.) A breadth-first search finds the shortest trace for each broken property.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from harness.subsystems.uma.model.exploredkeg import (
    FULL,
    DomainState,
    ExploredKeg,
    Move,
    Property,
    State,
    victim,
)
from harness.subsystems.uma.model.flags import (
    M_NOVM,
    M_NOWAIT,
    M_USE_RESERVE,
    M_WAITOK,
    UMA_ANYDOMAIN,
)
from harness.subsystems.uma.model.player import DomainSource, Operation, Player, Verb
from harness.subsystems.uma.model.shape import Shape
from harness.subsystems.uma.model.trace import Trace
from harness.subsystems.uma.model.zone import Zone

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
#: Number of levels that are searched after the first broken property.
_FURTHER: Final = 2


class _Came(NamedTuple):
    """The move by which a state was first reached."""

    parent: State
    move: Move


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of a search.

    Args:
        domains: number of memory domains.
        slabs: number of slabs for which each domain has memory.
        depth: maximum number of operations.
        hashed: whether the zone's slabs are in one list (``UMA_ZFLAG_HASH``).
    """

    domains: int
    slabs: int
    depth: int
    hashed: bool = False

    @property
    def shape(self) -> Shape:
        """The zone: few items per slab, and a reserve of one."""
        return Shape(self.domains, _ITEMS_PER_SLAB, _RESERVE, hashed=self.hashed, slabs=self.slabs)


@dataclass(frozen=True, slots=True)
class Exploration:
    """The result of a search.

    Args:
        variant: the form of the code.
        bounds: the bounds.
        states: number of states; equivalent ones count once.
        operations: number of operations that were run.
        broken: the shortest trace for each broken property. After the first one, two more levels
            are searched.
    """

    variant: Variant
    bounds: Bounds
    states: int
    operations: int
    broken: dict[Property, Trace] = field(default_factory=dict)

    @property
    def proven(self) -> bool:
        """Whether all properties hold in all states."""
        return not self.broken


def explore(variant: Variant, bounds: Bounds) -> Exploration:
    """Search all states within the bounds."""
    return _Search(variant, bounds).run()


class _Search:
    def __init__(self, variant: Variant, bounds: Bounds) -> None:
        self._variant = variant
        self._bounds = bounds
        self._board = ExploredKeg(Zone(variant, bounds.shape))
        nothing = DomainState(False, False, (), (), ())
        self._start = (nothing,) * bounds.domains
        self._came: dict[State, _Came | None] = {self._start: None}
        self._broken: dict[Property, Trace] = {}
        self._operations = 0

    def run(self) -> Exploration:
        """Search level by level; after a broken property, only a few levels more."""
        level = [self._start]
        last = self._bounds.depth
        depth = 0
        while depth < last:
            level = [new for state in level for new in self._expand(state)]
            depth += 1
            if self._broken:
                last = min(last, self._shortest() + _FURTHER)
        return Exploration(
            self._variant, self._bounds, len(self._came), self._operations, self._broken
        )

    def _shortest(self) -> int:
        return min(len(trace.operations) for trace in self._broken.values())

    def _expand(self, state: State) -> Iterator[State]:
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

    def _trace(self, state: State, last: Move) -> Trace:
        moves = [last]
        while (came := self._came[state]) is not None:
            moves.append(came.move)
            state = came.parent
        return _written_out(self._variant, self._bounds.shape, moves[::-1])


def _moves(domains: State) -> Iterator[Move]:
    for domain, state in enumerate(domains):
        for flags in _FLAGS:
            yield Move(Verb.ALLOC, domain, flags)
        for position in range(len(state.part)):
            yield Move(Verb.FREE, domain, position=position)
        for position in range(len(set(state.full))):
            yield Move(Verb.FREE, domain, position=FULL - position)
        if state.free:
            yield Move(Verb.DRAIN, domain)
        yield Move(Verb.ACCEPT if state.refusing else Verb.REFUSE, domain)
        yield Move(Verb.RECOVER if state.low else Verb.LOW, domain)
    for flags in _FLAGS:
        yield Move(Verb.ALLOC, UMA_ANYDOMAIN, flags)
    yield Move(Verb.PREALLOC, _ITEMS_PER_SLAB)


def _written_out(variant: Variant, shape: Shape, moves: list[Move]) -> Trace:
    """Return the operations of moves, with the real numbers of domains and items."""
    player = Player(variant, shape)
    giver: dict[int, int] = {}
    operations: list[Operation] = []
    for move in moves:
        operation = _real(move, player.zone, giver)
        operations.append(operation)
        outcome = player.play(operation).outcome
        if outcome is not None and outcome.item is not None:
            giver[outcome.item] = len(operations)
    return Trace(variant, shape, tuple(operations))


def _real(move: Move, zone: Zone, giver: dict[int, int]) -> Operation:
    if move.verb is Verb.PREALLOC:
        return Operation(Verb.PREALLOC, move.domain)
    # The iterator is at the domain that the search numbers 0.
    turn = zone.uz_keg.uk_dr.dr_iter
    domain = move.domain
    lists_stay = zone.shape.hashed and move.verb in (Verb.FREE, Verb.DRAIN)
    if domain != UMA_ANYDOMAIN and not lists_stay:
        domain = (domain + turn) % zone.shape.domains
    if move.verb is Verb.FREE:
        slab, index = victim(zone, move._replace(domain=domain), turn)
        return Operation(Verb.FREE, giver[slab.number * zone.shape.ipers + index])
    return Operation(move.verb, domain, move.flags, DomainSource.DOMAIN)
