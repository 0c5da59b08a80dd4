"""Named cases of zones: limits, waiters, address space, constructors, and what zones leave."""

from __future__ import annotations

from typing import Final

from harness.subsystems.zones.makecase import case, fix

ZONE_CASES: Final = (
    case(
        "ctor-limit",
        "an item whose constructor fails goes from a bucket back to its keg, but still counts for"
        " the zone's limit: after enough failures nothing can be allocated",
        "item_ctor zone_free_item", 2, r"^invariant: limit-count",
        traces=r" ctor.* fails?=",
        trace="""\
zones domains=2 cpus=0,1 without=current-count
zone1 size=96 limit=400 ctor
alloc zone1 item=1 cpu=0 fail=1 M_NOWAIT
""",
    ),
    case(
        "ctor-current",
        "an item whose constructor fails counts as allocated and never as freed, so that "
        "uma_zone_get_cur() grows with each failure",
        "item_ctor cache_alloc_item", 2, r"^invariant: current-count",
        traces=r" ctor.* fails?=",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=500 ctor
alloc zone1 item=1 cpu=1 fail=1 M_NOWAIT
""",
    ),
    case(
        "zcache-zinit",
        "uma_zcache_create() takes an initializer and never calls it: zone_ctor() sets it for "
        "secondary zones only",
        "zone_ctor uma_zcache_create", 2, r"^invariant: init-count: N items are initialized",
        traces=r" cache.* zinit",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=256 cache zinit
alloc zone1 item=1 cpu=1 M_NOWAIT
""",
    ),
    case(
        "limit-starvation",
        "a thread waits at the limit of a zone whose items all lie in other CPUs' caches: nothing"
        " is in use, so nothing is freed that would wake it (uma(9) warns of failures only)",
        "zone_alloc_limit_hard cache_alloc_retry", 2, r"^invariant: starvation",
        traces=r"limit=|kva=|set-max ",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=96 limit=10 maxcache=100 round-robin
alloc zone1 item=1 cpu=1 M_NOWAIT
free item=1 cpu=1
alloc zone1 item=1 cpu=0 M_WAITOK
""",
    ),
    case(
        "hash-pages",
        "a UMA_ZONE_NOTPAGE zone whose slabs have several pages enters only the first of them "
        "into its hash: items that begin in another are not found when they are used or freed",
        "keg_layout keg_alloc_slab zone_release uma_dbg_getslab", 2,
        r"did not belong to zone|^signal: SIGSEGV",
        traces=r" hashed",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=6000 hashed
alloc zone1 item=1 cpu=1 M_NOWAIT
alloc zone1 item=2 cpu=0 M_NOWAIT
""",
    ),
    case(
        "smr-context",
        "the context of smr(9) that zone_ctor() makes for a UMA_ZONE_SMR zone is not given back "
        "when the zone is destroyed",
        "zone_ctor zone_dtor", 2, r"^invariant: own-items: SMR ",
        traces=r" smr",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=96 smr
""",
    ),
    case(
        "maxaction-destroyed",
        "uma_zdestroy() leaves the task of uma_zone_set_maxaction() in its queue, in memory that "
        "is another zone's by the time it runs",
        "uma_zdestroy zone_dtor zone_maxaction", 2, r"^invariant: task-of-no-zone",
        traces=r" maxaction",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=2000 limit=1 maxaction
alloc zone1 item=1 cpu=0 M_NOWAIT
alloc zone1 item=2 cpu=0 M_NOWAIT
""",
    ),
    case(
        "init-forever",
        "an M_WAITOK allocation tries a keg's initializer that fails again and again: it is taken"
        " for a want of memory, of which there is enough, so that nobody waits",
        "keg_alloc_slab keg_fetch_slab", 2, r"an operation does not end",
        traces=r" init.* fails=.*M_WAITOK",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=96 init
alloc zone1 item=1 cpu=0 fails=1 M_WAITOK
""",
    ),
    case(
        "kva-pages",
        "uma_zone_reserve_kva() limits a zone whose slabs have several pages to so many times the"
        " items that there is address space for; what is mapped behind it is somebody else's",
        "uma_zone_reserve_kva noobj_alloc", 2, r"^invariant: kva-exceeded",
        traces=r" kva=",
        fix=fix("uma_zone_reserve_kva", "pages * keg->uk_ipers",
                 "pages / keg->uk_ppera * keg->uk_ipers"),
        trace="""\
zones domains=2 cpus=0,1
zone1 size=6000 kva=1 nobucket
alloc zone1 item=1 cpu=0 M_NOWAIT
alloc zone1 item=2 cpu=0 M_NOWAIT
alloc zone1 item=3 cpu=0 M_NOWAIT
""",
    ),
    case(
        "kva-init",
        "uma_zone_reserve_kva() changes what allocates slabs of several pages, but not what frees "
        "them: if a keg's initializer fails, page_free() panics for the slab's flags",
        "uma_zone_reserve_kva keg_alloc_slab keg_free_slab page_free", 2,
        r"page_free used with invalid flags",
        traces=r" kva=.* init.* fails?=",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=6000 kva=1 init
alloc zone1 item=1 cpu=0 fail=1 M_NOWAIT
""",
    ),
    case(
        "kva-secondary",
        "a secondary zone of a keg with reserved address space has no limit, and maps pages "
        "behind it",
        "uma_zone_reserve_kva noobj_alloc", 2, r"^invariant: kva-exceeded",
        traces=r" kva=.* secondary=",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=6000 kva=1
zone2 size=6000 secondary=zone1
alloc zone2 item=1 cpu=0 M_NOWAIT
alloc zone2 item=2 cpu=0 M_NOWAIT
alloc zone2 item=3 cpu=0 M_NOWAIT
""",
    ),
    case(
        "kva-max",
        "uma_zone_set_max() raises the limit of a zone with reserved address space, which is what "
        "keeps it in there: what is mapped behind it is somebody else's",
        "uma_zone_set_max noobj_alloc", 2, r"^invariant: kva-exceeded",
        traces=r" kva=.*set-max",
        trace="""\
zones domains=2 cpus=0,0
zone1 size=6000 kva=1 nobucket
set-max zone1 items=10
alloc zone1 item=1 cpu=0 M_NOWAIT
alloc zone1 item=2 cpu=0 M_NOWAIT
alloc zone1 item=3 cpu=0 M_NOWAIT
""",
    ),
    case(
        "kva-domains",
        "address space is reserved for as many slabs as the items need, but each domain fills "
        "slabs of its own: pages of the second domain are mapped behind it",
        "uma_zone_reserve_kva keg_fetch_slab noobj_alloc", 2, r"^invariant: kva-exceeded",
        traces=r" kva=",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=6000 kva=1 nobucket
alloc zone1 item=1 cpu=0 M_NOWAIT
alloc zone1 item=2 cpu=1 M_NOWAIT
""",
    ),
    case(
        "smr-waiter",
        "uma_zfree_smr() puts an item into a cache even if a thread waits at the zone's limit, "
        "which uma_zfree() does not: nobody wakes it",
        "uma_zfree_smr zone_alloc_limit_hard", 2, r"^invariant: free-kept",
        traces=r"[ -]smr",
        trace="""\
zones domains=2 cpus=0,1 without=own-items
zone1 size=256 kva=1 smr
alloc zone1 item=1 cpu=1 M_NOWAIT
alloc zone1 item=2 cpu=0 M_WAITOK
""",
    ),
)  # fmt: skip
