"""What a zone is made like."""

from __future__ import annotations

from typing import NamedTuple

from harness.errors import UsageError


class Shape(NamedTuple):
    """What a zone is made like.

    Args:
        domains: ``vm_ndomains``.
        ipers: items a slab.
        reserve: ``uk_reserve``.
        hashed: ``UMA_ZFLAG_HASH``: all slabs are in the lists of domain 0.
        first_touch: ``UMA_ZONE_FIRSTTOUCH``; otherwise ``UMA_ZONE_ROUNDROBIN``.
        stock: the slab allocator is one of the kernel's own, which sleep by themselves and
            assert on flags (``malloc2vm_flags``); otherwise it only says no.
        empty: mask of the domains without memory (``VM_DOMAIN_EMPTY``).
        slabs: each domain has memory for so many; None for as many as anybody likes.
        place: where the iterator stands (``dr_iter``).
        patience: the slab allocator gives in at this call of one operation, and no domain is
            below its minimum any more once somebody sleeps; so an allocation always ends.
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
    """Refuse what no zone can be like.

    Raises:
        UsageError: no domain, no items in a slab, or a negative reserve.
    """
    if shape.domains < 1 or shape.ipers < 1 or shape.reserve < 0:
        raise UsageError(
            f"no zone has {shape.domains} domains, {shape.ipers} items a slab "
            f"and a reserve of {shape.reserve}",
            remedy="give at least one domain and one item a slab, and no negative reserve",
        )
