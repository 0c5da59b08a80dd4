"""Predicts whether a kernel survives the first allocations of its boot.

It follows ``vm_map_startup``, ``kmem_init``, ``vm_map_entry_create``, ``kmapent_alloc`` and the
unlocking of the kernel map (``sys/vm/vm_map.c``, ``sys/vm/vm_kern.c``), and the order of
``vm_mem_init`` (``sys/vm/vm_init.c``): empty domains are removed from the policies
(``domainset_zero``) before the first zone is created. The boot CPU counts as domain 0 until the
SRAT is applied to CPUs, which is later (``SI_SUB_CPU``).

Addresses of fresh slabs follow the page array's and have its protection, so
``vm_map_insert`` extends its entry instead of creating one. UMA's initial memory is in the direct
map (``pmap_map``), so ``uma_startup2`` adds no entries for it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.subsystems.domainset.model.sets import mask_of
from harness.subsystems.uma.model.flags import M_NOVM, M_NOWAIT, M_USE_RESERVE
from harness.subsystems.uma.model.shape import Shape
from harness.subsystems.uma.model.zone import Zone

if TYPE_CHECKING:
    from harness.subsystems.uma.model.variants import Variant

#: Kernel map entries per slab; any number above 4 gives the same predictions.
_IPERS: Final = 42
#: ``KMAPENT_RESERVE``, and one more for replenishing it.
_RESERVE: Final = 2
_BOOT_CPU: Final = 0

#: Entries that ``kmem_init`` adds to the kernel map while it is locked.
_ENTRIES: Final = ("the kernel's image", "the page array")

#: Number of slabs that boots add after ``kmem_init``, with a margin.
_LATER: Final = 8

#: The first functions that needed an entry on a CPU whose domain has none, as observed.
_LATE_ASKERS: Final = "the page daemon's swap_pager_swap_init and start-up's pbuf_prealloc"

PANIC: Final = "vm_map_entry_create: kernel resources exhausted"


@dataclass(frozen=True, slots=True)
class Prediction:
    """The predicted outcome of a boot.

    Args:
        panics: whether it ends in ``PANIC``.
        allocation: the allocation that fails; empty if none does.
        late: the domains whose CPUs find no entry. The boot may still panic if such a CPU needs one
            (see ``_LATE_ASKERS``). It may also hang: the reserve of the tags of kernel addresses
            (``vmem btag``) is in the same domain; if ``bt_fill`` finds none, slabs of other zones
            cannot be allocated, and under ``M_WAITOK`` this is retried for ever (observed on two
            and three nodes).
        why: the reason in words.
        slabs: number of slabs of kernel map entries in each domain after ``kmem_init``, or at the
            panic; empty if the boot needs none.
        later: possible numbers of slabs at the end of the boot; see ``slabs_within``.
    """

    panics: bool
    allocation: str
    why: str
    slabs: tuple[int, ...] = ()
    late: tuple[int, ...] = ()
    later: frozenset[tuple[int, ...]] = frozenset()

    @property
    def in_words(self) -> str:
        """The possible outcomes: ``booted``, ``panic`` or several."""
        if self.panics:
            return "panic"
        return "booted or panic or hang" if self.late else "booted"


def predict_boot(
    variant: Variant, memory: Sequence[bool], *, reserve_at_boot: bool, threads: bool = True
) -> Prediction:
    """Predict the outcome of a boot.

    Args:
        variant: the form of the kernel's code.
        memory: for each domain that the kernel sees, whether it has memory; at least one has.
        reserve_at_boot: whether the kernel has no direct map for slabs, as with some sanitizers.
        threads: whether threads run on other CPUs after startup.
    """
    if not reserve_at_boot:
        return Prediction(False, "", "with the direct map, kernel map entries need no reserve")
    boot = _booting(variant, memory)
    placed = next(domain for domain, slabs in enumerate(boot.slabs()) if slabs)
    for entry in _ENTRIES:
        if not boot.create_entry(_BOOT_CPU):
            allocation = f"a kernel map entry for {entry} (M_NOWAIT|M_NOVM|M_USE_RESERVE)"
            why = (
                f"the reserve lies in domain {placed}, and the boot CPU asks domain "
                f"{_BOOT_CPU} only"
            )
            return Prediction(True, allocation, why, boot.slabs())
    boot.unlock()
    slabs, late = boot.slabs(), boot.out_of_reach() if threads else ()
    why = _why_booted(boot, placed, memory)
    if late:
        plural = "domain" if len(late) == 1 else "domains"
        why += (
            f"; a CPU of {plural} {', '.join(map(str, late))} finds none, and the first that "
            f"needs one there panics ({_LATE_ASKERS} were seen to), or M_WAITOK spins there for "
            "want of a vmem btag"
        )
    return Prediction(False, "", why, slabs, late, slabs_within(variant, memory, _LATER))


def slabs_within(
    variant: Variant, memory: Sequence[bool], slabs: int
) -> frozenset[tuple[int, ...]]:
    """Return the possible numbers of slabs by domain, with at most ``slabs`` after ``kmem_init``.

    A CPU whose domain has no free entry takes one from the reserve, which is then replenished with
    a slab. All orders of CPUs are considered. A boot that panics contributes nothing.
    """
    boot = _booting(variant, memory)
    for _ in _ENTRIES:
        if not boot.create_entry(_BOOT_CPU):
            return frozenset()
    boot.unlock()
    level = {boot.slabs_and_place(): boot}
    found = {boot.slabs()}
    for _ in range(slabs):
        level = {
            after.slabs_and_place(): after
            for before in level.values()
            for after in before.with_one_more_slab()
        }
        found |= {each.slabs() for each in level.values()}
    return frozenset(found)


def _booting(variant: Variant, memory: Sequence[bool]) -> _Boot:
    """Return the state of a boot after ``vm_map_startup``."""
    empty = mask_of(domain for domain, has in enumerate(memory) if not has)
    boot = _Boot(Zone(variant, Shape(len(memory), _IPERS, _RESERVE, empty=empty)))
    boot.zone.uma_prealloc(_RESERVE)
    return boot


def _why_booted(boot: _Boot, placed: int, memory: Sequence[bool]) -> str:
    if boot.drained:
        return f"the reserve lies in domain {placed}, and keg_fetch_slab drains every domain's"
    if not memory[_BOOT_CPU]:
        return "the boot CPU's domain is empty, so it takes entries from any domain"
    return f"the reserve lies in domain {placed}, where the boot CPU asks for it"


class _Boot:
    """The kernel map's entries.

    Attributes:
        zone: the zone ``KMAP ENTRY``.
        drained: whether the reserve was used.
    """

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.drained = False
        self._replenish = False

    def create_entry(self, domain: int) -> bool:
        """Run ``vm_map_entry_create`` on a CPU of that domain; return whether it succeeds."""
        if self.zone.uma_zalloc(M_NOWAIT | M_NOVM, domain).item is not None:
            return True
        self._replenish = self.drained = True
        return self.zone.uma_zalloc(M_NOWAIT | M_NOVM | M_USE_RESERVE, domain).item is not None

    def unlock(self) -> None:
        """Run ``_vm_map_unlock``, which adds a slab if the reserve was used."""
        if self._replenish:
            self.zone.uma_prealloc(1)
            self._replenish = False

    def with_one_more_slab(self) -> Iterator[_Boot]:
        """Generate the states after an allocation by a CPU whose domain has no free entry."""
        for domain, state in enumerate(self.zone.uz_keg.uk_domain):
            if state.ud_free_items <= _RESERVE:
                after = copy.deepcopy(self)
                if after.create_entry(domain):
                    after.unlock()
                    yield after

    def slabs_and_place(self) -> tuple[tuple[int, ...], int]:
        """Return the state that determines the domain of the next slab."""
        keg = self.zone.uz_keg
        return self.slabs(), keg.uk_dr.dr_iter % len(keg.uk_dr.dr_policy.order)

    def out_of_reach(self) -> tuple[int, ...]:
        """Return the domains whose CPUs find no entry, not even in the reserve.

        Each entry that is found is allocated, so the state cannot be used further.
        """
        flags = M_NOWAIT | M_NOVM | M_USE_RESERVE
        domains = range(self.zone.shape.domains)
        return tuple(d for d in domains if self.zone.uma_zalloc(flags, d).item is None)

    def slabs(self) -> tuple[int, ...]:
        """Return the number of slabs in each domain."""
        return tuple(domain.ud_pages for domain in self.zone.uz_keg.uk_domain)
