"""The parameters of a zone."""

from __future__ import annotations

from typing import NamedTuple

from harness.errors import UsageError


class Shape(NamedTuple):
    """The parameters of a zone.

    Args:
        domains: ``vm_ndomains``.
        ipers: items per slab.
        reserve: ``uk_reserve``.
        hashed: ``UMA_ZFLAG_HASH``: all slabs are in the lists of domain 0.
        first_touch: ``UMA_ZONE_FIRSTTOUCH``; otherwise ``UMA_ZONE_ROUNDROBIN``.
        stock: whether the slab allocator is one of the kernel's own, which sleep and assert on
            flags (``malloc2vm_flags``); else it only fails.
        empty: mask of the domains without memory (``VM_DOMAIN_EMPTY``).
        slabs: number of slabs for which each domain has memory; None for no limit.
        place: the iterator (``dr_iter``).
        patience: the call of one operation at which the slab allocator succeeds; a sleeping thread
            is woken with all domains above their minimum. So every allocation ends.
    """

    domains: int
    ipers: int
    reserve: int = 0
    hashed: bool = False
    first_touch: bool = True
    stock: bool = False
    empty: int = 0
    slabs: int | None = None
    place: int = 0
    patience: int | None = None


def check_shape(shape: Shape) -> None:
    """Refuse impossible zones.

    Raises:
        UsageError: no domain, no items in a slab, or a negative reserve.
    """
    if shape.domains < 1 or shape.ipers < 1 or shape.reserve < 0:
        raise UsageError(
            f"no zone has {shape.domains} domains, {shape.ipers} items a slab "
            f"and a reserve of {shape.reserve}",
            remedy="give at least one domain and one item a slab, and no negative reserve",
        )
