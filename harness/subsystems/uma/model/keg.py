"""A keg and what hands out its slabs: FreeBSD's ``sys/vm/uma_core.c``, by its names.

Followed: ``keg_first_slab``, ``keg_fetch_free_slab``, ``keg_fetch_slab``, ``keg_alloc_slab``,
``slab_alloc_item``, ``slab_free_item``, ``uma_prealloc``, ``uma_zone_reserve``,
``keg_drain_domain``, ``zone_alloc_item`` with ``zone_import`` of one item. Left out: per-CPU
caches and buckets (the zones in question have none), item limits, slab headers outside of their
slab, and other CPUs that come between, but for one that frees an item (``Keg.meanwhile``).

Sleeping is a value: an operation that would sleep, or try again for ever, ends with ``Blocked``;
unless the shape says that memory comes back (``Shape.patience``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.errors import UsageError
from harness.subsystems.domainset.model.sets import Policy, mask_of
from harness.subsystems.uma.model.domainset import (
    Domainset,
    DomainsetIter,
    DomainsetRef,
    vm_domainset_iter_policy_ref_init,
)
from harness.subsystems.uma.model.flags import (
    M_NOVM,
    M_NOWAIT,
    M_USE_RESERVE,
    M_WAITOK,
    UMA_ANYDOMAIN,
    KernelAssertion,
)
from harness.subsystems.uma.model.slab import Domain, Slab
from harness.subsystems.uma.model.zone import Blocked, Outcome, Shape, check_shape

if TYPE_CHECKING:
    from harness.subsystems.uma.model.variants import Variant

_WAITOK_NOVM: Final = M_WAITOK | M_NOVM


class Keg:
    """``struct uma_keg``, the zone on it, and the memory below.

    Args:
        variant: the form of the kernel's code.
        shape: what the zone is made like.

    Attributes:
        calls: the domains that the slab allocator was asked for by the last operation.
        blocked: why the last operation has not ended, if so.
        slept: how often the last operation slept.
        in_use: how many slabs have their memory in each domain.
        slabs: all slabs by number.
        low: mask of the domains below their minimum of free pages (``vm_min_domains``), beside
            those that have run out.
        refusing: mask of the domains in which the slab allocator finds nothing.
        meanwhile: an item that another CPU frees while the slab allocator is next called; None
            once it has.
        why: if a list, the reason of each decision is appended to it.

    Raises:
        UsageError: no such zone: no domain with memory, or no items in a slab.
    """

    __slots__ = (
        "_cold", "_next", "blocked", "calls", "in_use", "low", "meanwhile", "refusing", "shape",
        "slabs", "slept", "uk_domain", "uk_dr", "uk_reserve", "variant", "why",
    )  # fmt: skip

    def __init__(self, variant: Variant, shape: Shape) -> None:
        check_shape(shape)
        everywhere = Domainset(Policy.ROUNDROBIN, tuple(range(shape.domains)))
        # domainset_zero() takes empty domains out of all policies before the first zone is made.
        policy = everywhere.without(shape.empty)
        if policy is None:
            raise UsageError("no domain has memory", remedy="leave one domain that is not empty")
        self.variant = variant
        self.shape = shape
        self.uk_reserve = shape.reserve
        self.uk_dr = DomainsetRef(policy, shape.place)
        self.uk_domain = [Domain() for _ in range(shape.domains)]
        self.low = 0
        self.refusing = shape.empty
        self.slabs: dict[int, Slab] = {}
        self.blocked: Blocked | None = None
        self.why: list[str] | None = None
        self.calls: list[int] = []
        self.slept = 0
        self.meanwhile: int | None = None
        self.in_use = [0] * shape.domains
        self._next = 0
        self._cold = True

    # --- the zone -------------------------------------------------------------------------------

    def uma_zone_reserve(self, items: int) -> None:
        """Set the reserve.

        Raises:
            KernelAssertion: the zone has been used.
        """
        if not self._cold:
            raise KernelAssertion("uma_zone_reserve", "keg initialization after use")
        self.uk_reserve = items

    def uma_zalloc(self, flags: int, cpu_domain: int = 0) -> Outcome:
        """An item for a CPU of that domain.

        Raises:
            KernelAssertion: the kernel asserts against the flags or the domain.
        """
        return self.zone_alloc_item(cpu_domain if self.shape.first_touch else UMA_ANYDOMAIN, flags)

    def uma_zalloc_domain(self, domain: int, flags: int) -> Outcome:
        """An item from that domain, whatever the CPU.

        Raises:
            KernelAssertion: as for ``uma_zalloc``, or the zone is not first-touch.
        """
        if not self.shape.first_touch:
            raise KernelAssertion("uma_zalloc_domain", "called with non-FIRSTTOUCH zone")
        return self.zone_alloc_item(domain, flags)

    def zone_alloc_item(self, domain: int, flags: int) -> Outcome:
        """An item from a domain, or from any (``UMA_ANYDOMAIN``)."""
        if domain >= 0 and self.shape.empty >> domain & 1:
            self._note("domain %d is empty, so any domain will do", domain)
            domain = UMA_ANYDOMAIN
        calls: list[int] = []
        self.calls = calls
        self.blocked = None
        self.slept = 0
        slab = self.keg_fetch_slab(domain, flags)
        if slab is None:
            return Outcome(None, -1, tuple(calls), self.blocked, self.slept)
        return Outcome(self.slab_alloc_item(slab), slab.memory, tuple(calls), None, self.slept)

    def uma_zfree(self, item: int) -> None:
        """Give an item back.

        Raises:
            KernelAssertion: it is free already, or none of this zone's.
        """
        number, index = divmod(item, self.shape.ipers)
        slab = self.slabs.get(number)
        if slab is None or slab.us_free >> index & 1:
            raise KernelAssertion("uma_dbg_free", f"duplicate free of item {item}")
        self.slab_free_item(slab, index)

    def uma_prealloc(self, items: int) -> Outcome:
        """Fresh slabs for so many items, into the lists of free slabs.

        Gives the domain of the last slab. Where no domain has memory, the kernel waits for it.
        """
        calls: list[int] = []
        self.calls = calls
        self.blocked = None
        memory = -1
        for _ in range(-(-items // self.shape.ipers)):
            iterator = self._iterator()
            slab = self.keg_alloc_slab(iterator.domain, M_NOWAIT)
            while slab is None:
                if not iterator.policy():
                    return Outcome(None, -1, tuple(calls), self._wait_doms())
                slab = self.keg_alloc_slab(iterator.domain, M_NOWAIT)
            self.uk_domain[slab.us_domain].partial_to_free(slab)
            memory = slab.memory
        return Outcome(None, memory, tuple(calls), None)

    # --- the keg --------------------------------------------------------------------------------

    def keg_first_slab(self, domain: int, rr: bool) -> Slab | None:
        """A slab with free items, put into the list of partial slabs."""
        start = domain
        while True:
            dom = self.uk_domain[domain]
            if dom.ud_part_slab:
                return dom.ud_part_slab[-1]
            if dom.ud_free_slab:
                return dom.free_to_partial()
            if rr:
                domain = (domain + 1) % len(self.uk_domain)
            if domain == start:
                return None

    def keg_fetch_free_slab(self, domain: int, rr: bool, flags: int) -> Slab | None:
        """A slab with free items in that domain, unless they are the reserve."""
        if self.shape.hashed:
            domain = 0
        reserve = 0 if flags & M_USE_RESERVE else self.uk_reserve
        free = self.uk_domain[domain].ud_free_items
        if free <= reserve:
            kept = f", {reserve} of them kept in reserve" if reserve and free else ""
            self._note("domain %d has %d free items%s", domain, free, kept)
            return None
        slab = self.keg_first_slab(domain, rr)
        if slab is not None:
            self._note("domain %d has %d free items: slab %d", domain, free, slab.number)
        return slab

    def keg_fetch_slab(self, rdomain: int, flags: int) -> Slab | None:  # noqa: C901, PLR0912 - as in C
        """A slab with a free item: one that is there, or a fresh one.

        The inner loop is the function's ``for (;;)``; where it is left, the outer one begins anew,
        as ``goto restart`` does. Each ``return`` behind a look without a slab is the last look.

        Raises:
            KernelAssertion: ``M_WAITOK`` with ``M_NOVM``, or a domain that is none.
        """
        if flags & _WAITOK_NOVM == _WAITOK_NOVM:
            raise KernelAssertion("keg_fetch_slab", f"invalid flags {flags:#x}")
        if not UMA_ANYDOMAIN <= rdomain < len(self.uk_domain):
            raise KernelAssertion("keg_first_slab", f"domain {rdomain} out of range")
        while True:  # restart:
            rr = rdomain == UMA_ANYDOMAIN
            if rr:
                aflags = flags & ~M_WAITOK | M_NOWAIT
                di = self._iterator()
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
                    if slab is not None or self.blocked is not None:
                        return slab
                if not rr:
                    if flags & M_USE_RESERVE and self.variant.reserve_fallback:
                        self._note("M_USE_RESERVE: drain the reserves of all domains")
                        rdomain = UMA_ANYDOMAIN
                        break
                    if not flags & M_WAITOK:
                        return self.keg_fetch_free_slab(domain, rr, flags)
                    if not self._goes_on(self._wait_domain(domain)):
                        return None
                elif not di.policy():
                    if not flags & M_WAITOK:
                        # 15.x: the last phase moves on to a domain even if it visits none.
                        return self.keg_fetch_free_slab(di.domain, rr, flags)
                    if not self._goes_on(self._wait_doms()):
                        return None
                    break
                else:
                    domain = di.domain

    def keg_alloc_slab(self, domain: int, aflags: int) -> Slab | None:
        """A fresh slab, put into the list of partial slabs, if the allocator finds memory.

        Raises:
            KernelAssertion: the allocator is a stock one and asserts against the flags.
        """
        shape = self.shape
        if shape.stock and aflags & M_USE_RESERVE and not aflags & M_NOWAIT:
            raise KernelAssertion("malloc2vm_flags", "M_USE_RESERVE requires M_NOWAIT")
        self.calls.append(domain)
        if self.meanwhile is not None:
            self._free_meanwhile(self.meanwhile)
        patient = shape.patience is None or len(self.calls) < shape.patience
        if patient and (self.refusing >> domain & 1 or self.in_use[domain] == shape.slabs):
            self._note("the slab allocator finds nothing in domain %d", domain)
            if shape.stock and aflags & M_WAITOK:
                self.blocked = Blocked(True, (domain,))
            return None
        slab = Slab(self._next, 0 if shape.hashed else domain, domain, shape.ipers)
        self.slabs[slab.number] = slab
        self.in_use[domain] += 1
        self._next += 1
        self.uk_domain[slab.us_domain].add_slab(slab)
        self._note("fresh slab %d in domain %d", slab.number, domain)
        return slab

    def _free_meanwhile(self, item: int) -> None:
        """What another CPU does while this one, without the keg's lock, asks for memory."""
        self.meanwhile = None
        self.uma_zfree(item)
        slab, index = divmod(item, self.shape.ipers)
        self._note("meanwhile another CPU frees item %d of slab %d", index, slab)

    def slab_alloc_item(self, slab: Slab) -> int:
        """Take the lowest free item out of a slab in the list of partial slabs."""
        self._cold = False
        index = self.uk_domain[slab.us_domain].take_item(slab)
        return slab.number * self.shape.ipers + index

    def slab_free_item(self, slab: Slab, index: int) -> None:
        """Put an item back into its slab, and the slab into the list where it belongs now."""
        self.uk_domain[slab.us_domain].put_item(slab, index, self.shape.ipers)

    def keg_drain_domain(self, domain: int) -> int:
        """Give free slabs back to the system, but those that hold the reserve; how many went."""
        gone = self.uk_domain[domain].drain(self.uk_reserve, self.shape.ipers)
        for slab in gone:
            del self.slabs[slab.number]
            self.in_use[slab.memory] -= 1
        return len(gone)

    # --- memory ---------------------------------------------------------------------------------

    def short(self) -> int:
        """The domains below their minimum of free pages: ``low``, and those that have run out."""
        most = self.shape.slabs
        if most is None:
            return self.low
        return self.low | mask_of(
            domain for domain, slabs in enumerate(self.in_use) if slabs == most
        )

    def _note(self, reason: str, *values: object) -> None:
        """Record the reason of a decision, where somebody wants to know."""
        if self.why is not None:
            self.why.append(reason % values)

    def _iterator(self) -> DomainsetIter:
        return vm_domainset_iter_policy_ref_init(self.variant, self.uk_dr, self.short())

    def _goes_on(self, blocked: Blocked) -> bool:
        """Whether whoever waits so is to go on; see ``Shape.patience``."""
        if self.shape.patience is None:
            self.blocked = blocked
            return False
        if blocked.sleeps:
            self.slept += 1
            self.low = 0
            self._note("%s; memory comes back everywhere", blocked)
        return True

    def _wait_domain(self, domain: int) -> Blocked:
        """``vm_wait_domain``, which returns at once unless the domain is below its minimum."""
        sleeps = self.variant.domain_wait and bool(self.short() >> domain & 1)
        return Blocked(sleeps, (domain,))

    def _wait_doms(self) -> Blocked:
        """``vm_wait_doms``, which returns at once unless all domains are below their minimum."""
        policy = self.uk_dr.dr_policy
        return Blocked(self.short() & policy.mask == policy.mask, policy.order)
