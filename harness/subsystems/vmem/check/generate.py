"""Random operations on arenas, weighted towards full and fragmented ones; pure.

The same seed gives the same operations. What the kernel does not survive ends a trace before it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from harness.check.weighted import Weighted
from harness.subsystems.vmem.model.arena import NO_CONSTRAINTS, Constraints, Fit
from harness.subsystems.vmem.model.operations import (
    SLOTS,
    Add,
    Alloc,
    Free,
    Limit,
    Operation,
    Operations,
)
from harness.subsystems.vmem.model.player import Player, Seen, Setup
from harness.subsystems.vmem.model.tag import FatalCall, crosses

_VERBS: Final[Weighted[type[Operation]]] = Weighted(((Alloc, 60), (Free, 34), (Add, 4), (Limit, 2)))
_FITS: Final = Weighted(((Fit.BEST, 4), (Fit.FIRST, 4), (Fit.NEXT, 3)))
_FITS_WITHOUT_CURSOR: Final = Weighted(((Fit.BEST, 1), (Fit.FIRST, 1)))
_QUANTA: Final = (1, 16, 4096, 4096, 2 << 20)
#: Greatest alignment and boundary, as shifts of the quantum.
_ALIGNS: Final = 5
#: Probabilities of a kind of arena or request.
_CURSOR: Final = 0.5
_IMPORTS: Final = 0.4
_RELEASES: Final = 0.7
_RECLAIMS: Final = 0.3
_CONSTRAINED: Final = 0.5
_UNROUNDED: Final = 0.2
_UNLIMITED: Final = 0.5


def random_setup(rng: random.Random) -> Setup:
    """Return a random arena, of 8 to 600 quanta, with or without a source."""
    quantum = rng.choice(_QUANTA)
    base = quantum * rng.randrange(1, 64)
    reclaims = rng.random() < _RECLAIMS
    if rng.random() >= _IMPORTS:
        size = quantum * rng.choice((8, 64, rng.randrange(8, 200), rng.randrange(200, 600)))
        return Setup(quantum, base, size, reclaims=reclaims)
    imports = quantum << rng.randrange(5)
    size = imports * rng.randrange(2, 17)
    return Setup(quantum, base, size, imports, rng.random() < _RELEASES, reclaims)


def random_operations(rng: random.Random, setup: Setup, length: int) -> Operations:
    """Return at most ``length`` valid operations that the kernel survives."""
    return tuple(operation for operation, _ in random_steps(rng, setup, length))


def random_steps(rng: random.Random, setup: Setup, length: int) -> Iterator[tuple[Operation, Seen]]:
    """Generate the same operations, each with the model's state after it."""
    writer = _Writer(rng, setup)
    for _ in range(length):
        operation = writer.operation()
        try:
            yield operation, writer.player.play(operation)
        except FatalCall:
            return


class _Writer:
    def __init__(self, rng: random.Random, setup: Setup) -> None:
        self._rng = rng
        self._setup = setup
        self._end = setup.base + setup.size
        self._fits = _FITS if rng.random() < _CURSOR else _FITS_WITHOUT_CURSOR
        self.player = Player(setup)

    def operation(self) -> Operation:
        """Return the next operation, which is valid now."""
        verb = _VERBS.choose(self._rng)
        held = sorted(self.player.slots)
        if len(held) == SLOTS or (verb is Free and held):
            return Free(self._rng.choice(held))
        if verb is Add:
            return self._add()
        if verb is Limit:
            limited = self._rng.random() >= _UNLIMITED
            return Limit(self._setup.size // 2 if limited else 0)
        return self._alloc(next(slot for slot in range(SLOTS) if slot not in held))

    def _add(self) -> Add:
        """Return a span behind the last one: adjacent to it, or apart."""
        quantum = self._setup.quantum
        base = self._end + quantum * self._rng.choice((0, 0, 1, 5))
        size = quantum * self._rng.randrange(1, 17)
        self._end = base + size
        return Add(base, size)

    def _alloc(self, slot: int) -> Alloc:
        quantum, fit = self._setup.quantum, self._fits.choose(self._rng)
        quanta = self._quanta()
        size = quanta * quantum
        # The kernel does not survive a request of M_NEXTFIT for a part of a quantum.
        if fit is not Fit.NEXT and self._rng.random() < _UNROUNDED:
            size -= self._rng.randrange(quantum)
        constrained = self._rng.random() < _CONSTRAINED
        return Alloc(slot, size, fit, self._want(quanta, fit) if constrained else NO_CONSTRAINTS)

    def _quanta(self) -> int:
        few = self._rng.randrange(1, 9)
        return self._rng.choice((1, few, few, 32, self._rng.randrange(33, 65)))

    def _want(self, quanta: int, fit: Fit) -> Constraints:
        """Return constraints that are valid for a size; they need not be possible to meet."""
        rng, quantum = self._rng, self._setup.quantum
        align = quantum << rng.randrange(_ALIGNS) if rng.random() < 0.6 else 0
        phase = quantum * rng.randrange(align // quantum) if align else 0
        nocross = 0
        if rng.random() < 0.4:
            boundary = quantum << (quanta - 1).bit_length() + rng.randrange(2)
            end = phase + quanta * quantum - 1
            nocross = 0 if crosses(phase, end, boundary) else boundary
        if fit is Fit.NEXT or rng.random() < 0.5:
            return Constraints(align, phase, nocross)
        minaddr, maxaddr = sorted(rng.randrange(self._end + quantum) for _ in range(2))
        return Constraints(align, phase, nocross, minaddr, maxaddr)
