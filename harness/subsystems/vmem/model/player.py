"""Plays operations on the model of an arena, and of the arena that it imports from."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from harness.errors import UsageError
from harness.subsystems.vmem.model.arena import Arena, Constraints, Fit, Source
from harness.subsystems.vmem.model.operations import (
    NUMBER_LIMIT,
    SLOTS,
    Add,
    Alloc,
    Free,
    Limit,
    Operation,
    Operations,
)

#: Number of spans that an arena may have imported at a time.
IMPORTS: Final = 64


class ArenaMisuse(UsageError):  # noqa: N818 - says what the caller does
    """A call that no caller may make."""


@dataclass(frozen=True, slots=True)
class Setup:
    """An arena, as it is created.

    Args:
        quantum: sizes and addresses are multiples of it; a power of two.
        base: first address of its span, or of the span of the arena that it imports from.
        size: size of that span, in bytes.
        imports: size that it imports a multiple of; 0 if it does not import.
        releases: whether imported spans go back when they are free.
        reclaims: whether the lowest slot is freed when the arena is exhausted.
    """

    quantum: int
    base: int
    size: int
    imports: int = 0
    releases: bool = False
    reclaims: bool = False

    def check(self) -> None:
        """Check that such an arena can be created.

        Raises:
            ArenaMisuse: it cannot.
        """
        imports = self.imports or self.quantum
        powers = all(each > 0 and each & (each - 1) == 0 for each in (self.quantum, imports))
        if not powers or imports < self.quantum:
            raise ArenaMisuse(
                f"a quantum of {self.quantum} and imports of {self.imports} bytes",
                remedy="use powers of two, and imports that are not smaller than the quantum",
            )
        if self.size == 0 or (self.base | self.size) % self.quantum:
            raise ArenaMisuse(
                f"a span of {self.size} bytes at {self.base}",
                remedy=f"use multiples of the quantum, {self.quantum}",
            )
        if self.imports and self.size // self.imports > IMPORTS:
            raise ArenaMisuse(
                f"a source of more than {IMPORTS} imports", remedy="use larger imports"
            )


class Seen(NamedTuple):
    """State that model and kernel must agree on after an operation.

    Args:
        error: 0, or ``ENOMEM``.
        address: of an allocation that did not fail; else 0.
        alloc: ``vmem_size(VMEM_ALLOC)``, as the following two, in bytes.
        free: ``vmem_size(VMEM_FREE)``.
        maxfree: ``vmem_size(VMEM_MAXFREE)``.
        imported: ``vmem_size(VMEM_ALLOC)`` of the arena that it imports from; 0 without one.
        reclaimed: number of slots that were freed because the arena was exhausted.
    """

    error: int
    address: int
    alloc: int
    free: int
    maxfree: int
    imported: int
    reclaimed: int


NOT_SURVIVED: Final = Seen(-1, 0, 0, 0, 0, 0, 0)
"""What no kernel reports: it does not survive the operation (``KernelFault``)."""


@dataclass(slots=True)
class Player:
    """Plays operations on an arena.

    Args:
        setup: the arena.
        code: the arena's class; tests pass wrong ones.
    """

    setup: Setup
    code: type[Arena] = Arena
    slots: dict[int, int] = field(default_factory=dict)
    _spans: list[tuple[int, int]] = field(default_factory=list)
    _reclaimed: int = 0
    _source: Arena = field(init=False)
    _arena: Arena = field(init=False)

    def __post_init__(self) -> None:
        setup = self.setup
        setup.check()
        source = None
        if setup.imports:
            release = self._release if setup.releases else None
            source = Source(self._import, release, setup.imports)
        self._source = self.code(setup.quantum)
        self._arena = self.code(setup.quantum, source, self._reclaim if setup.reclaims else None)
        filled = self._source if setup.imports else self._arena
        filled.vmem_add(setup.base, setup.size)
        self._spans.append((setup.base, setup.size))

    def play(self, operation: Operation) -> Seen:
        """Run an operation; return the state after it.

        Raises:
            ArenaMisuse: the operation is invalid.
            FatalCall: the kernel does not survive it.
        """
        self._reclaimed = 0
        address: int | None = 0
        match operation:
            case Alloc():
                address = self._alloc(operation)
            case Free(slot):
                if slot in self.slots:
                    self._arena.vmem_xfree(self.slots.pop(slot))
            case Add(base, size):
                self._add(base, size)
            case Limit(size):
                self._arena.vm_limit = size
        return self.seen(address)

    def seen(self, address: int | None = 0) -> Seen:
        """Return the state, after a call that returned an address or None."""
        arena = self._arena
        return Seen(
            error=errno.ENOMEM if address is None else 0,
            address=address or 0,
            alloc=arena.vm_inuse,
            free=arena.vm_size - arena.vm_inuse,
            maxfree=arena.maxfree,
            imported=self._source.vm_inuse,
            reclaimed=self._reclaimed,
        )

    def _alloc(self, alloc: Alloc) -> int | None:
        if alloc.slot in self.slots or alloc.slot >= SLOTS:
            raise ArenaMisuse(f"slot {alloc.slot} is in use", remedy="free it first")
        address = self._arena.vmem_xalloc(alloc.size, alloc.fit, alloc.want)
        if address is not None:
            self.slots[alloc.slot] = address
        return address

    def _add(self, base: int, size: int) -> None:
        apart = all(base + size <= first or first + length <= base for first, length in self._spans)
        if not apart or size == 0 or (base | size) % self.setup.quantum:
            raise ArenaMisuse(
                f"a span of {size} bytes at {base}",
                remedy="add spans of whole quanta that do not overlap others",
            )
        if base + size > NUMBER_LIMIT:
            raise ArenaMisuse(f"a span that ends at {base + size}", remedy="use lower addresses")
        self._arena.vmem_add(base, size)
        self._spans.append((base, size))

    def _import(self, size: int, fit: Fit) -> int | None:
        return self._source.vmem_xalloc(size, fit, Constraints(align=self.setup.imports))

    def _release(self, address: int, size: int) -> None:
        del size
        self._source.vmem_xfree(address)

    def _reclaim(self) -> None:
        if self.slots:
            self._arena.vmem_xfree(self.slots.pop(min(self.slots)))
            self._reclaimed += 1


def is_taken(setup: Setup, operations: Operations) -> bool:
    """Return whether all operations are valid in this order, and survived."""
    try:
        player = Player(setup)
        for operation in operations:
            player.play(operation)
    except UsageError:
        return False
    return True
