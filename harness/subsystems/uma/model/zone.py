"""A zone on a keg: FreeBSD's ``sys/vm/uma_core.c``, by its names, in its order.

Left out: per-CPU caches and buckets (the zones in question have none), so that ``zone_import`` and
``zone_release`` are asked for one item, and item limits.
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
    """What an allocation came to.

    Args:
        item: its address in the model (slab number times items a slab, plus index); or None.
        domain: that the item's memory lies in; -1 without an item.
        calls: the domains that the slab allocator (``uk_allocf``) was asked for, in order.
        blocked: why it has not ended, if so.
        slept: how often it slept before it ended.
    """

    item: int | None
    domain: int
    calls: tuple[int, ...]
    blocked: Blocked | None
    slept: int = 0


class Zone:
    """``struct uma_zone``, on a keg of its own.

    Args:
        variant: the form of the kernel's code.
        shape: what the zone is made like.

    Attributes:
        memory: below its keg.

    Raises:
        UsageError: no such zone: no domain with memory, or no items in a slab.
    """

    __slots__ = ("_cold", "memory", "shape", "uz_keg")

    def __init__(self, variant: Variant, shape: Shape) -> None:
        check_shape(shape)
        self.shape = shape
        self.memory = Memory(shape)
        self.uz_keg = Keg(variant, shape, self.memory)
        self._cold = True

    def uma_zalloc(self, flags: int, cpu_domain: int = 0) -> Allocation:
        """An item for a CPU of that domain.

        Raises:
            KernelAssertion: the kernel asserts against the flags or the domain.
        """
        return self.zone_alloc_item(cpu_domain if self.shape.first_touch else UMA_ANYDOMAIN, flags)

    def uma_zalloc_domain(self, domain: int, flags: int) -> Allocation:
        """An item from that domain, whatever the CPU.

        Raises:
            KernelAssertion: as for ``uma_zalloc``, or the zone is not first-touch.
        """
        if not self.shape.first_touch:
            raise KernelAssertion("uma_zalloc_domain", "called with non-FIRSTTOUCH zone")
        return self.zone_alloc_item(domain, flags)

    def zone_import(self, domain: int, flags: int) -> int | None:
        """An item of a slab; raises as ``Keg.keg_fetch_slab``."""
        slab = self.uz_keg.keg_fetch_slab(domain, flags)
        if slab is None:
            return None
        self._cold = False
        return self.uz_keg.slab_alloc_item(slab)

    def zone_alloc_item(self, domain: int, flags: int) -> Allocation:
        """An item from a domain, or from any (``UMA_ANYDOMAIN``)."""
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
        """Give an item back.

        Raises:
            KernelAssertion: it is free already, or none of this zone's.
        """
        number, index = divmod(item, self.shape.ipers)
        slab = self.uz_keg.slabs.get(number)
        if slab is None or slab.us_free >> index & 1:
            raise KernelAssertion("uma_dbg_free", f"duplicate free of item {item}")
        self.zone_release(item)

    def zone_release(self, item: int) -> None:
        """An item that is not free goes back into its slab."""
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
        """Fresh slabs for so many items, into the lists of free slabs.

        Gives the domain of the last slab. Where no domain has memory, the kernel waits for it.
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
        """Give free slabs of a domain back; how many went."""
        return self.uz_keg.keg_drain_domain(domain)

    # --- not in C -------------------------------------------------------------------------------

    def domain_of(self, item: int) -> int:
        """Where an item's memory lies."""
        return self.uz_keg.slabs[item // self.shape.ipers].memory

    def frees_meanwhile(self, item: int | None) -> None:
        """Have another CPU free that item, or none, while this one next asks for memory."""
        self.memory.meanwhile = None if item is None else partial(self._free_meanwhile, item)

    def _free_meanwhile(self, item: int) -> None:
        self.uma_zfree(item)
        slab, index = divmod(item, self.shape.ipers)
        self.memory.note("meanwhile another CPU frees item %d of slab %d", index, slab)
