"""A zone on a keg, as in FreeBSD's ``sys/vm/uma_core.c``, with its names and order.

Left out: item limits, and per-CPU caches and buckets, which these zones do not have; so
``zone_import`` and ``zone_release`` handle one item.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from harness.subsystems.uma.model.flags import M_NOWAIT, UMA_ANYDOMAIN, KernelAssertion
from harness.subsystems.uma.model.keg import Keg
from harness.subsystems.uma.model.memory import Blocked, DoesNotEnd, Memory
from harness.subsystems.uma.model.shape import Shape, check_shape
from harness.subsystems.uma.model.slab import list_remove

if TYPE_CHECKING:
    from harness.subsystems.uma.model.variants import Variant


class Allocation(NamedTuple):
    """The result of an allocation.

    Args:
        item: its address in the model (slab number times items per slab, plus index); or None.
        domain: domain of the item's memory; -1 without an item.
        calls: the domains of the calls of the slab allocator (``uk_allocf``), in order.
        blocked: why it does not end; None if it ended.
        slept: number of times that it slept.
    """

    item: int | None
    domain: int
    calls: tuple[int, ...]
    blocked: Blocked | None
    slept: int = 0


class Zone:
    """``struct uma_zone``, with its own keg.

    Args:
        variant: the form of the kernel's code.
        shape: the zone's parameters.

    Attributes:
        memory: the memory of its keg.

    Raises:
        UsageError: no domain has memory, or a slab has no items.
    """

    __slots__ = ("_cold", "memory", "shape", "uz_keg")

    def __init__(self, variant: Variant, shape: Shape) -> None:
        check_shape(shape)
        self.shape = shape
        self.memory = Memory(shape)
        self.uz_keg = Keg(variant, shape, self.memory)
        self._cold = True

    def uma_zalloc(self, flags: int, cpu_domain: int = 0) -> Allocation:
        """Allocate an item on a CPU of a domain.

        Raises:
            KernelAssertion: flags or domain are invalid.
        """
        return self.zone_alloc_item(cpu_domain if self.shape.first_touch else UMA_ANYDOMAIN, flags)

    def uma_zalloc_domain(self, domain: int, flags: int) -> Allocation:
        """Allocate an item from a domain, on any CPU.

        Raises:
            KernelAssertion: as for ``uma_zalloc``, or the zone is not first-touch.
        """
        if not self.shape.first_touch:
            raise KernelAssertion("uma_zalloc_domain", "called with non-FIRSTTOUCH zone")
        return self.zone_alloc_item(domain, flags)

    def zone_import(self, domain: int, flags: int) -> int | None:
        """Allocate an item of a slab; raises as ``Keg.keg_fetch_slab``."""
        slab = self.uz_keg.keg_fetch_slab(domain, flags)
        if slab is None:
            return None
        self._cold = False
        return self.uz_keg.slab_alloc_item(slab)

    def zone_alloc_item(self, domain: int, flags: int) -> Allocation:
        """Allocate an item from a domain, or from any (``UMA_ANYDOMAIN``)."""
        memory = self.memory
        memory.begin()
        if domain >= 0 and self.shape.empty >> domain & 1:
            memory.note("domain %d is empty, so any domain will do", domain)
            domain = UMA_ANYDOMAIN
        try:
            item = self.zone_import(domain, flags)
        except DoesNotEnd as ended:
            return Allocation(None, -1, tuple(memory.calls), ended.blocked, memory.slept)
        lies_in = -1 if item is None else self.domain_of(item)
        return Allocation(item, lies_in, tuple(memory.calls), None, memory.slept)

    def uma_zfree(self, item: int) -> None:
        """Free an item.

        Raises:
            KernelAssertion: it is free already, or is not an item of this zone.
        """
        number, index = divmod(item, self.shape.ipers)
        slab = self.uz_keg.slabs.get(number)
        if slab is None or slab.us_free >> index & 1:
            raise KernelAssertion("uma_dbg_free", f"duplicate free of item {item}")
        self.zone_release(item)

    def zone_release(self, item: int) -> None:
        """Return an allocated item to its slab."""
        number, index = divmod(item, self.shape.ipers)
        self.uz_keg.slab_free_item(self.uz_keg.slabs[number], index)

    def uma_zone_reserve(self, items: int) -> None:
        """Set the reserve.

        Raises:
            KernelAssertion: the zone has been used.
        """
        if not self._cold:
            raise KernelAssertion("uma_zone_reserve", "keg initialization after use")
        self.uz_keg.uk_reserve = items

    def uma_prealloc(self, items: int) -> Allocation:
        """Allocate free slabs for a number of items; return the domain of the last slab.

        If no domain has memory, the kernel waits for it.
        """
        keg, memory, domain = self.uz_keg, self.memory, -1
        memory.begin()
        slabs = -(-items // keg.uk_ipers)
        for _ in range(slabs):
            di = keg.policy_iterator()
            slab = keg.keg_alloc_slab(di.domain, M_NOWAIT)
            while slab is None:
                if di.vm_domainset_iter_policy():
                    blocked = memory.wait_for(keg.uk_dr.dr_policy.mask)
                    return Allocation(None, -1, tuple(memory.calls), blocked)
                slab = keg.keg_alloc_slab(di.domain, M_NOWAIT)
            dom = keg.uk_domain[slab.us_domain]
            list_remove(dom.ud_part_slab, slab)
            dom.ud_free_slab.append(slab)
            dom.ud_free_slabs += 1
            domain = slab.memory
        return Allocation(None, domain, tuple(memory.calls), None)

    def uma_zone_reclaim_domain(self, domain: int) -> int:
        """Free the free slabs of a domain; return how many were freed."""
        return self.uz_keg.keg_drain_domain(domain)

    # --- not in C -------------------------------------------------------------------------------

    def domain_of(self, item: int) -> int:
        """Return the domain of an item's memory."""
        return self.uz_keg.slabs[item // self.shape.ipers].memory

    def frees_meanwhile(self, item: int | None) -> None:
        """Let another CPU free an item, or none, during the next call of the slab allocator."""
        self.memory.meanwhile = None if item is None else partial(self._free_meanwhile, item)

    def _free_meanwhile(self, item: int) -> None:
        self.uma_zfree(item)
        slab, index = divmod(item, self.shape.ipers)
        self.memory.note("meanwhile another CPU frees item %d of slab %d", index, slab)
