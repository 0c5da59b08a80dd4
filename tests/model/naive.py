"""A second model of a keg, made of sets of items alone, to test the first from the other side.

It knows no lists, no slabs' order and no iterator. It says which answers are right, not which one
is given: from which domains an item may come, and whether there must be one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.subsystems.uma.model.flags import M_NOVM, M_USE_RESERVE, M_WAITOK, UMA_ANYDOMAIN
from harness.subsystems.uma.model.shape import Shape
from harness.subsystems.uma.model.variants import Variant
from harness.subsystems.uma.model.zone import Allocation


@dataclass
class NaiveKeg:
    """Items by domain.

    Attributes:
        free: the free items in each domain's counters.
        held: the items handed out, each with the domain that counts it.
        refusing: domains in which no slab is to be had.
        low: domains short of memory.
    """

    variant: Variant
    shape: Shape
    free: dict[int, set[int]] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)
    refusing: set[int] = field(default_factory=set)
    low: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.free = {domain: set() for domain in range(self.shape.domains)}
        self.refusing = self.empty()

    def empty(self) -> set[int]:
        return {d for d in range(self.shape.domains) if self.shape.empty >> d & 1}

    def counting(self, memory: int) -> int:
        """The domain that counts items whose memory lies in ``memory``."""
        return 0 if self.shape.hashed else memory

    def allocate(self, domain: int, flags: int, outcome: Allocation) -> None:
        """Check an answer and take it over."""
        if domain in self.empty():
            domain = UMA_ANYDOMAIN
        asked = set(self.free) - self.empty() if domain == UMA_ANYDOMAIN else {domain}
        if flags & M_USE_RESERVE and self.variant.reserve_fallback:
            asked = set(self.free) - self.empty()
        reserve = 0 if flags & M_USE_RESERVE else self.shape.reserve
        ready = {d for d in map(self.counting, asked) if len(self.free[d]) > reserve}
        fresh = set() if flags & M_NOVM else asked - self.refusing
        self._check_calls(outcome, asked, flags)
        if outcome.item is None:
            assert not ready
            assert not fresh
            assert (outcome.blocked is not None) == bool(flags & M_WAITOK)
            if outcome.blocked is not None:
                self._check_blocked(outcome, domain, flags)
            return
        assert outcome.item not in self.held
        home = self.counting(outcome.domain)
        if outcome.item in self.free[home]:
            assert home in ready
        else:
            assert not outcome.item % self.shape.ipers
            assert outcome.domain in fresh
            assert outcome.calls[-1] == outcome.domain
            self.add_slab(outcome.item, outcome.domain)
        self.free[home].discard(outcome.item)
        self.held[outcome.item] = home

    def _check_calls(self, outcome: Allocation, asked: set[int], flags: int) -> None:
        assert set(outcome.calls) <= asked
        assert not (outcome.calls and flags & M_NOVM)

    def _check_blocked(self, outcome: Allocation, domain: int, flags: int) -> None:
        assert outcome.blocked is not None
        everywhere = set(self.free) - self.empty()
        falls_back = flags & M_USE_RESERVE and self.variant.reserve_fallback
        if domain == UMA_ANYDOMAIN or falls_back:
            assert outcome.blocked.sleeps == (everywhere <= self.low)
            assert set(outcome.blocked.domains) == everywhere
        else:
            assert outcome.blocked.sleeps == (self.variant.domain_wait and domain in self.low)
            assert outcome.blocked.domains == (domain,)

    def add_slab(self, item: int, memory: int) -> None:
        """A fresh slab, of which ``item`` is the first."""
        self.free[self.counting(memory)] |= set(range(item, item + self.shape.ipers))

    def release(self, item: int) -> None:
        self.free[self.held.pop(item)].add(item)
