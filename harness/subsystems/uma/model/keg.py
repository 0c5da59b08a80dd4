"""A keg and the functions that allocate its slabs, as in FreeBSD's ``sys/vm/uma_core.c``.

Names and order are those of the C. Left out: locks, slab headers outside of their slab, and other
CPUs, except one that frees an item during a call of the slab allocator (``Memory.meanwhile``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.errors import UsageError
from harness.subsystems.domainset.model.machine import Wait, uncounted
from harness.subsystems.domainset.model.sets import Domainset, DomainsetRef, Policy
from harness.subsystems.uma.model.flags import (
    M_NOVM,
    M_NOWAIT,
    M_USE_RESERVE,
    M_WAITOK,
    UMA_ANYDOMAIN,
    KernelAssertion,
)
from harness.subsystems.uma.model.memory import Blocked, Memory
from harness.subsystems.uma.model.slab import Domain, Slab, list_remove

if TYPE_CHECKING:
    from harness.subsystems.domainset.model.iterator import DomainsetIter
    from harness.subsystems.uma.model.shape import Shape
    from harness.subsystems.uma.model.variants import Variant

_WAITOK_NOVM: Final = M_WAITOK | M_NOVM
_EVERYWHERE: Final = DomainsetRef(Domainset(Policy.ROUNDROBIN, 1))
"""The thread's own policy, which a keg's iterators do not use."""


class Keg:
    """``struct uma_keg``.

    Args:
        variant: the form of the kernel's code.
        shape: the zone's parameters.
        memory: the memory of its slabs.

    Attributes:
        slabs: all slabs by number (``vtoslab()``, ``uk_hash``).

    Raises:
        UsageError: no domain has memory.
    """

    __slots__ = (
        "_iterator", "_next", "memory", "shape", "slabs", "uk_domain", "uk_dr", "uk_ipers",
        "uk_reserve", "variant",
    )  # fmt: skip

    def __init__(self, variant: Variant, shape: Shape, memory: Memory) -> None:
        # domainset_zero() removes empty domains from all policies before the first zone is created.
        everywhere = Domainset(Policy.ROUNDROBIN, (1 << shape.domains) - 1)
        policy = everywhere.without(shape.empty)
        if policy is None:
            raise UsageError("no domain has memory", remedy="leave one domain that is not empty")
        self.variant = variant
        self.shape = shape
        self.memory = memory
        self.uk_ipers = shape.ipers
        self.uk_reserve = shape.reserve
        self.uk_dr = DomainsetRef(policy, shape.place)
        self.uk_domain = [Domain() for _ in range(shape.domains)]
        self.slabs: dict[int, Slab] = {}
        self._next = 0
        self._iterator = variant.iterator

    def keg_free_slab(self, slab: Slab) -> None:
        """Free a slab's memory."""
        del self.slabs[slab.number]
        self.memory.in_use[slab.memory] -= 1

    def keg_drain_domain(self, domain: int) -> int:
        """Free the free slabs, except those with the reserve; return how many were freed."""
        dom, ipers = self.uk_domain[domain], self.uk_ipers
        partial = dom.ud_free_items - dom.ud_free_slabs * ipers
        if partial < self.uk_reserve:
            stokeep = min(dom.ud_free_slabs, -(-(self.uk_reserve - partial) // ipers))
        else:
            stokeep = 0
        stofree = dom.ud_free_slabs - stokeep
        freeslabs = [dom.ud_free_slab.pop() for _ in range(min(stofree, stokeep))]
        if stofree > stokeep:
            freeslabs, dom.ud_free_slab = dom.ud_free_slab, freeslabs
        dom.ud_free_items -= stofree * ipers
        dom.ud_free_slabs -= stofree
        dom.ud_pages -= stofree
        for slab in freeslabs:
            self.keg_free_slab(slab)
        return stofree

    def keg_alloc_slab(self, domain: int, aflags: int) -> Slab | None:
        """Allocate a slab and add it to the partial slabs; return None if there is no memory.

        Raises:
            KernelAssertion, DoesNotEnd: see ``Memory.uk_allocf``.
        """
        if not self.memory.uk_allocf(domain, aflags):
            return None
        slab = Slab(self._next, 0 if self.shape.hashed else domain, domain, self.uk_ipers)
        self.slabs[slab.number] = slab
        self._next += 1
        self.memory.note("fresh slab %d in domain %d", slab.number, domain)
        dom = self.uk_domain[slab.us_domain]
        dom.ud_part_slab.append(slab)
        dom.ud_pages += 1
        dom.ud_free_items += self.uk_ipers
        return slab

    def keg_first_slab(self, domain: int, rr: bool) -> Slab | None:
        """Return a slab with free items, moved to the partial slabs; None if there is none."""
        start = domain
        while True:
            dom = self.uk_domain[domain]
            if dom.ud_part_slab:
                return dom.ud_part_slab[-1]
            if dom.ud_free_slab:
                slab = dom.ud_free_slab.pop()
                dom.ud_free_slabs -= 1
                dom.ud_part_slab.append(slab)
                return slab
            if rr:
                domain = (domain + 1) % len(self.uk_domain)
            if domain == start:
                return None

    def keg_fetch_free_slab(self, domain: int, rr: bool, flags: int) -> Slab | None:
        """Return a slab with free items that are not the reserve; None if there is none."""
        if self.shape.hashed:  # HASH has a single free list.
            domain = 0
        reserve = 0 if flags & M_USE_RESERVE else self.uk_reserve
        free = self.uk_domain[domain].ud_free_items
        if free <= reserve:
            kept = f", {reserve} of them kept in reserve" if reserve and free else ""
            self.memory.note("domain %d has %d free items%s", domain, free, kept)
            return None
        slab = self.keg_first_slab(domain, rr)
        if slab is not None:
            self.memory.note("domain %d has %d free items: slab %d", domain, free, slab.number)
        return slab

    def keg_fetch_slab(self, rdomain: int, flags: int) -> Slab | None:  # noqa: C901, PLR0912 - as in C
        """Return a slab with a free item: an existing or a new one; None on failure.

        Leaving the inner loop repeats the outer one, as ``goto restart`` does. A search in a
        ``return`` is the last one. This is 13.2's text; in 15.1 the iterator waits and searches
        again, which is equivalent in the phased form.

        Raises:
            KernelAssertion: ``M_WAITOK`` with ``M_NOVM``, or an invalid domain.
            DoesNotEnd: it waits for memory that is never freed.
        """
        if flags & _WAITOK_NOVM == _WAITOK_NOVM:
            raise KernelAssertion("keg_fetch_slab", f"invalid flags {flags:#x}")
        if not UMA_ANYDOMAIN <= rdomain < len(self.uk_domain):
            raise KernelAssertion("keg_first_slab", f"domain {rdomain} out of range")
        while True:  # restart:
            rr = rdomain == UMA_ANYDOMAIN
            if rr:
                aflags = flags & ~M_WAITOK | M_NOWAIT
                di = self.policy_iterator()
                domain = di.domain
            else:
                aflags = flags
                domain = rdomain
            while True:
                slab = self.keg_fetch_free_slab(domain, rr, flags)
                if slab is not None:
                    return slab
                if not flags & M_NOVM:
                    slab = self.keg_alloc_slab(domain, aflags)
                    if slab is not None:
                        return slab
                if not rr:
                    if flags & M_USE_RESERVE and self.variant.reserve_fallback:
                        self.memory.note("M_USE_RESERVE: drain the reserves of all domains")
                        rdomain = UMA_ANYDOMAIN
                        break
                    if not flags & M_WAITOK:
                        return self.keg_fetch_free_slab(domain, rr, flags)
                    self._wait_domain(domain)
                elif di.vm_domainset_iter_policy():
                    if not flags & M_WAITOK:
                        return self.keg_fetch_free_slab(di.domain, rr, flags)
                    self.memory.vm_wait_doms(self.uk_dr.dr_policy.mask)
                    break
                else:
                    domain = di.domain

    def slab_alloc_item(self, slab: Slab) -> int:
        """Allocate the lowest free item of a partial slab."""
        dom = self.uk_domain[slab.us_domain]
        bit = slab.us_free & -slab.us_free
        slab.us_free ^= bit
        slab.us_freecount -= 1
        dom.ud_free_items -= 1
        if slab.us_freecount == 0:
            list_remove(dom.ud_part_slab, slab)
            dom.ud_full_slab.append(slab)
        return slab.number * self.uk_ipers + bit.bit_length() - 1

    def slab_free_item(self, slab: Slab, freei: int) -> None:
        """Free an item, and move its slab to another list if necessary."""
        dom = self.uk_domain[slab.us_domain]
        was_full = slab.us_freecount == 0
        if slab.us_freecount + 1 == self.uk_ipers:
            list_remove(dom.ud_full_slab if was_full else dom.ud_part_slab, slab)
            dom.ud_free_slab.append(slab)
            dom.ud_free_slabs += 1
        elif was_full:
            list_remove(dom.ud_full_slab, slab)
            dom.ud_part_slab.append(slab)
        slab.us_free |= 1 << freei
        slab.us_freecount += 1
        dom.ud_free_items += 1

    def policy_iterator(self) -> DomainsetIter:
        """Return an iterator of the keg's policy that does not wait, at its first domain."""
        di = self._iterator(self.memory, _EVERYWHERE, uncounted)
        di.vm_domainset_iter_policy_ref_init(self.uk_dr, Wait.NOWAIT)
        return di

    def _wait_domain(self, domain: int) -> None:
        """``vm_wait_domain``, which the commit added; before, the loop repeats at once."""
        if self.variant.domain_wait:
            self.memory.vm_wait_domain(domain)
        else:
            self.memory.goes_on(Blocked(False, (domain,)))
