"""What a boot should come to, from what the tree's allocator is like.

The boot allocates kernel map entries from a reserve that ``uma_prealloc`` put into one
domain (``vm_map_startup`` and ``kmem_init``, sys/vm/vm_map.c and vm_kern.c).  The boot
CPU counts as domain 0 until the SRAT is applied, so the allocation finds the reserve only
if it lies there, or if ``keg_fetch_slab`` looks into the other domains.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.kernel.artifact import KernelIdentity
from harness.verdict import Outcome


@dataclass(frozen=True, slots=True)
class Expectation:
    """The outcomes that a boot may have, and why; no outcomes: nobody knows."""

    outcomes: tuple[Outcome, ...]
    why: str


def expected_of(identity: KernelIdentity, domains: int) -> Expectation:
    """What a kernel should come to on a guest that shows it ``domains`` memory domains."""
    booted = (Outcome.BOOTED,)
    if not identity.reserve_at_boot:
        return Expectation(booted, "with the direct map, kernel map entries need no reserve")
    if identity.reserve_fallback:
        return Expectation(booted, "keg_fetch_slab drains every domain's reserve")
    if domains == 1:
        return Expectation(booted, "with one domain, the reserve is where it is asked for")
    if identity.reserve_fallback is None or identity.advances_first is None:
        return Expectation((), "this tree's allocator could not be read")
    if identity.advances_first:
        return Expectation(
            (Outcome.PANIC,),
            "the iterator advances first, so the reserve lies in domain 1, and the boot CPU "
            "asks domain 0 only",
        )
    return Expectation(booted, "the iterator is read first, so the reserve lies in domain 0")
