"""Whether a kernel comes through the first allocations of its boot.

Followed: ``vm_map_startup``, ``kmem_init``, ``vm_map_entry_create`` and the unlocking of the
kernel map (``sys/vm/vm_map.c``, ``sys/vm/vm_kern.c``), ``uma_startup2`` (``sys/vm/uma_core.c``)
and the order of ``vm_mem_init`` (``sys/vm/vm_init.c``): empty domains are taken out of the
policies (``domainset_zero``) before the first zone is made. The boot CPU counts as domain 0 until
the SRAT is applied to CPUs, which is later (``SI_SUB_CPU``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harness.model.domainset import domain_mask
from harness.model.flags import M_NOVM, M_NOWAIT, M_USE_RESERVE
from harness.model.keg import Keg, Shape
from harness.model.variants import Variant

#: Entries of the kernel map to a slab on amd64. Any number above 4 predicts the same.
_IPERS: Final = 42
#: ``KMAPENT_RESERVE`` and the one more that replenishing takes.
_RESERVE: Final = 2
_BOOT_CPU: Final = 0

#: What is entered into the kernel map, and how many times it is unlocked in between.
_FIRST_LOCK: Final = ("the kernel's image", "the page array")
_SECOND_LOCK: Final = ("the memory that UMA started with",)

PANIC: Final = "vm_map_entry_create: kernel resources exhausted"


@dataclass(frozen=True, slots=True)
class Prediction:
    """What becomes of a boot.

    Args:
        panics: it ends in ``PANIC``.
        allocation: the one that fails; empty where none does.
        late: the domains whose CPUs find no entry once they ask for one: the boot may still
            panic, if such a CPU is the first to need a fresh one (the page daemon was seen to).
        why: in words.
        slabs: slabs of the kernel map's entries in each domain when the boot has got through,
            or when it panics; empty where the boot needs none.
    """

    panics: bool
    allocation: str
    why: str
    slabs: tuple[int, ...] = ()
    late: tuple[int, ...] = ()

    @property
    def in_words(self) -> str:
        """``booted``, ``panic``, or that both may be."""
        if self.panics:
            return "panic"
        return "booted or panic" if self.late else "booted"


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
    empty = domain_mask(domain for domain, has in enumerate(memory) if not has)
    boot = _Boot(Keg(variant, Shape(len(memory), _IPERS, _RESERVE, empty=empty)))
    placed = boot.keg.uma_prealloc(_RESERVE).domain
    for entries in (_FIRST_LOCK, _SECOND_LOCK):
        for entry in entries:
            if not boot.create_entry():
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
            f"; a CPU of {plural} {', '.join(map(str, late))} finds none, and the page daemon's "
            "first allocation (vm_pageout, swap_pager_swap_init) panics if it runs there"
        )
    return Prediction(False, "", why, slabs, late)


def _why_booted(boot: _Boot, placed: int, memory: Sequence[bool]) -> str:
    if boot.drained:
        return f"the reserve lies in domain {placed}, and keg_fetch_slab drains every domain's"
    if not memory[_BOOT_CPU]:
        return "the boot CPU's domain is empty, so it takes entries from any domain"
    return f"the reserve lies in domain {placed}, where the boot CPU asks for it"


class _Boot:
    """The kernel map as far as it takes entries.

    Attributes:
        keg: of the zone ``KMAP ENTRY``.
        drained: the reserve was used.
    """

    def __init__(self, keg: Keg) -> None:
        self.keg = keg
        self.drained = False
        self._replenish = False

    def create_entry(self) -> bool:
        """``vm_map_entry_create``: whether there is an entry."""
        if self.keg.uma_zalloc(M_NOWAIT | M_NOVM, _BOOT_CPU).item is not None:
            return True
        self._replenish = self.drained = True
        return self.keg.uma_zalloc(M_NOWAIT | M_NOVM | M_USE_RESERVE, _BOOT_CPU).item is not None

    def unlock(self) -> None:
        """``_vm_map_unlock``: a used reserve gets a slab, which takes an entry for its address."""
        if self._replenish:
            self.create_entry()
            self.keg.uma_prealloc(1)
            self._replenish = False

    def out_of_reach(self) -> tuple[int, ...]:
        """The domains whose CPUs find no entry, not even in the reserve.

        Only looked at when the boot is over: each entry found is taken.
        """
        flags = M_NOWAIT | M_NOVM | M_USE_RESERVE
        domains = range(self.keg.shape.domains)
        return tuple(d for d in domains if self.keg.uma_zalloc(flags, d).item is None)

    def slabs(self) -> tuple[int, ...]:
        """Slabs in each domain."""
        return tuple(domain.ud_pages for domain in self.keg.uk_domain)
