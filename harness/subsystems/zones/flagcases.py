"""Named cases of what zones are made with: flags, sizes, alignment, callbacks."""

from __future__ import annotations

from typing import Final

from harness.subsystems.zones.makecase import case

_TRASH: Final = r"Memory modified after free"

FLAG_CASES: Final = (
    case(
        "unmanaged-cpus",
        "uma_reclaim(UMA_RECLAIM_DRAIN_CPU) empties CPUs' caches of zones with UMA_ZONE_UNMANAGED,"
        " too (uma(9): the system will not reclaim memory from the zone's caches)",
        "uma_reclaim_domain pcpu_cache_drain_safe cache_drain_safe_cpu cache_shrink", 2,
        r"^invariant: unmanaged-reclaimed",
        traces=r" cache.* unmanaged.*reclaim-all",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=1000 cache unmanaged
alloc zone1 item=1 cpu=0 M_NOWAIT
reclaim-all drain-cpu
""",
    ),
    case(
        "unmanaged-ignored",
        "a zone with a keg does not get UMA_ZONE_UNMANAGED, which UMA_ZONE_INHERIT lacks: the "
        "system reclaims its caches as those of any other (uma(9): it will not)",
        "zone_ctor uma_reclaim_domain zone_timeout", 2, r"^invariant: unmanaged-reclaimed",
        traces=r" unmanaged.*reclaim-all",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=2000 unmanaged
alloc zone1 item=1 cpu=1 M_NOWAIT
reclaim-all cpu=1 drain-cpu
reclaim-all drain
""",
    ),
    case(
        "notrim-ignored",
        "a zone with a keg does not get UMA_ZONE_NOTRIM, which UMA_ZONE_INHERIT lacks: the system "
        "trims it as any other",
        "zone_ctor uma_reclaim_domain zone_timeout", 2, r"^invariant: notrim-trimmed",
        traces=r" notrim.*reclaim-all",
        release="15.",
        trace="""\
zones domains=2 cpus=0,1 without=unmanaged-reclaimed
zone1 size=2000 notrim
alloc zone1 item=1 cpu=1 M_NOWAIT
reclaim zone1 domain=0 cpu=1 drain-cpu
reclaim-all trim
reclaim-all trim
reclaim-all trim
reclaim-all trim
reclaim-all trim
reclaim-all trim
reclaim-all trim
reclaim-all trim
reclaim-all trim
reclaim-all trim
""",
    ),
    case(
        "never-freed",
        "a slab of a zone with UMA_ZONE_NOFREE is asked for with M_NEVERFREED, and is freed if the"
        " keg's initializer fails",
        "keg_alloc_slab keg_free_slab", 2, r"^invariant: never-freed",
        traces=r" init.* nofree",
        release="15.",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=96 init nofree
alloc zone1 item=1 cpu=0 fail=1 M_NOWAIT
""",
    ),
    case(
        "set-init-trash",
        "uma_zone_set_init() replaces the initializer that marks items as free, and leaves the "
        "zone looking for that mark: the first allocation panics",
        "uma_zone_set_init item_ctor trash_ctor", 2, _TRASH,
        traces=r" set-init",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=96 init set-init
alloc zone1 item=1 cpu=0 M_NOWAIT
""",
    ),
    case(
        "zinit-trash",
        "what the initializer of uma_zone_set_zinit() writes into an item is taken for a use after"
        " free, as the zone looks for the mark of free items still",
        "uma_zone_set_zinit item_ctor trash_ctor", 2, _TRASH,
        traces=r" writes.* zinit",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=4000 writes zinit
alloc zone1 item=1 cpu=0 M_NOWAIT
""",
    ),
    case(
        "ctor-trash",
        "an item whose constructor fails goes back to its keg without the mark of free items: what"
        " the constructor has written is taken for a use after free",
        "item_ctor zone_free_item item_dtor", 2, _TRASH,
        traces=r" ctor.* writes.* fails?=",
        trace="""\
zones domains=2 cpus=0,1 without=current-count,limit-count,fails-count
zone1 size=96 ctor writes
alloc zone1 item=1 cpu=0 fail=1 M_NOWAIT
reclaim zone1 drain-cpu
""",
    ),
    case(
        "spread-large",
        "a zone with UMA_ZONE_CACHESPREAD and items of more than UMA_CACHESPREAD_MAX_SIZE cannot "
        "be made: keg_layout() begins with a slab of no items",
        "keg_layout", 2, r"keg harness zones.*slabsize=",
        traces=r" spread",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=150000 spread
alloc zone1 item=1 cpu=0 M_NOWAIT
""",
    ),
    case(
        "align-pages",
        "an alignment of more than a page is taken, and not kept: slabs begin at any page",
        "keg_layout uma_zcreate", 2, r"^invariant: item-misaligned",
        traces=r" align=(8192|16384|32768|65536)",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=4000 align=8192 nobucket
alloc zone1 item=1 cpu=0 M_NOWAIT
alloc zone1 item=2 cpu=0 M_NOWAIT
alloc zone1 item=3 cpu=0 M_NOWAIT
alloc zone1 item=4 cpu=0 M_NOWAIT
""",
    ),
)  # fmt: skip
