"""Whether a kernel comes through the first allocations of its boot.

Followed: ``vm_map_startup``, ``kmem_init``, ``vm_map_entry_create``, ``kmapent_alloc`` and the
unlocking of the kernel map (``sys/vm/vm_map.c``, ``sys/vm/vm_kern.c``), and the order of
``vm_mem_init`` (``sys/vm/vm_init.c``): empty domains are taken out of the policies
(``domainset_zero``) before the first zone is made. The boot CPU counts as domain 0 until the SRAT
is applied to CPUs, which is later (``SI_SUB_CPU``).

Addresses of fresh slabs follow the page array's and have its protection, so
``vm_map_insert`` extends its entry instead of making one; and the memory that UMA starts with lies
in the direct map (``pmap_map``), so ``uma_startup2`` enters none of it.
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

#: Entries of the kernel map to a slab. Any number above 4 predicts the same.
_IPERS: Final = 42
#: ``KMAPENT_RESERVE`` and the one more that replenishing takes.
_RESERVE: Final = 2
_BOOT_CPU: Final = 0

#: What ``kmem_init`` enters into the kernel map while it has it locked.
_ENTRIES: Final = ("the kernel's image", "the page array")

#: Slabs that a boot was seen to add after ``kmem_init``, and some more.
_LATER: Final = 8

#: What was seen to be the first on a CPU whose domain has no entry.
_LATE_ASKERS: Final = "the page daemon's swap_pager_swap_init and start-up's pbuf_prealloc"

PANIC: Final = "vm_map_entry_create: kernel resources exhausted"


@dataclass(frozen=True, slots=True)
class Prediction:
    """What becomes of a boot.

    Args:
        panics: it ends in ``PANIC``.
        allocation: the one that fails; empty where none does.
        late: the domains whose CPUs find no entry once they ask for one: the boot may still
            panic, if such a CPU needs one (see ``_LATE_ASKERS``). It may also hang: the tags of
            kernel addresses (``vmem btag``) have their reserve in the same place, and where
            ``bt_fill`` finds none, slabs of other zones cannot be allocated, which under
            ``M_WAITOK`` is tried again for ever (seen on two and three nodes).
        why: in words.
        slabs: slabs of the kernel map's entries in each domain when ``kmem_init`` is through, or
            when it panics; empty where the boot needs none.
        later: what they may be by the end of the boot; see ``slabs_within``.
    """

    panics: bool
    allocation: str
    why: str
    slabs: tuple[int, ...] = ()
    late: tuple[int, ...] = ()
    later: frozenset[tuple[int, ...]] = frozenset()

    @property
    def in_words(self) -> str:
        """``booted``, ``panic``, or what may be."""
        if self.panics:
            return "panic"
        return "booted or panic or hang" if self.late else "booted"


def predict_boot(
    variant: Variant, memory: Sequence[bool], *, reserve_at_boot: bool, threads: bool = True
) -> Prediction:
    """What becomes of a boot.

    Args:
        variant: the form of the kernel's code.
        memory: for each domain that the kernel sees, whether it has memory; at least one has.
        reserve_at_boot: the kernel has no direct map to take slabs from, as with a sanitizer.
        threads: later on, it runs on other CPUs too.
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
    """The slabs in each domain that a boot may lead to, up to so many after ``kmem_init``.

    Whichever CPU asks for an entry where its domain has none to spare takes it from the reserve,
    and that gets a slab. Which CPUs ask, and how often, is left open. What panics leads nowhere.
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
    """A boot that has come through ``vm_map_startup``."""
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
    """The kernel map as far as it takes entries.

    Attributes:
        zone: ``KMAP ENTRY``.
        drained: the reserve was used.
    """

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.drained = False
        self._replenish = False

    def create_entry(self, domain: int) -> bool:
        """``vm_map_entry_create`` on a CPU of that domain: whether there is an entry."""
        if self.zone.uma_zalloc(M_NOWAIT | M_NOVM, domain).item is not None:
            return True
        self._replenish = self.drained = True
        return self.zone.uma_zalloc(M_NOWAIT | M_NOVM | M_USE_RESERVE, domain).item is not None

    def unlock(self) -> None:
        """``_vm_map_unlock``: a used reserve gets a slab."""
        if self._replenish:
            self.zone.uma_prealloc(1)
            self._replenish = False

    def with_one_more_slab(self) -> Iterator[_Boot]:
        """What becomes of it if a CPU asks where its domain has nothing to spare."""
        for domain, state in enumerate(self.zone.uz_keg.uk_domain):
            if state.ud_free_items <= _RESERVE:
                after = copy.deepcopy(self)
                if after.create_entry(domain):
                    after.unlock()
                    yield after

    def slabs_and_place(self) -> tuple[tuple[int, ...], int]:
        """What decides where the next slab will be."""
        keg = self.zone.uz_keg
        return self.slabs(), keg.uk_dr.dr_iter % len(keg.uk_dr.dr_policy.order)

    def out_of_reach(self) -> tuple[int, ...]:
        """The domains whose CPUs find no entry, not even in the reserve.

        Only looked at when the boot is over: each entry found is taken.
        """
        flags = M_NOWAIT | M_NOVM | M_USE_RESERVE
        domains = range(self.zone.shape.domains)
        return tuple(d for d in domains if self.zone.uma_zalloc(flags, d).item is None)

    def slabs(self) -> tuple[int, ...]:
        """Slabs in each domain."""
        return tuple(domain.ud_pages for domain in self.zone.uz_keg.uk_domain)
