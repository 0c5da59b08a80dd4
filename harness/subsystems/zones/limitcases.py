"""Named cases of limits that change, of counters, and of memory that is taken in vain."""

from __future__ import annotations

from typing import Final

from harness.subsystems.zones.makecase import case, fix

LIMIT_CASES: Final = (
    case(
        "limit-count-zero",
        "uma_zone_set_max() leaves no room for buckets while a thread in cache_alloc() has seen "
        "that there is some: zone_alloc_bucket() asks a limit that is exceeded for 0 items, and "
        "zone_free_limit() panics",
        "cache_alloc zone_alloc_bucket zone_alloc_limit_hard zone_free_limit", 2,
        r"Assertion count > N failed",
        traces=r"thread[1-4]: set-max ",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=1000 limit=200
alloc zone1 item=1 cpu=0 M_NOWAIT
alloc zone1 item=2 cpu=0 M_NOWAIT
thread1: alloc zone1 item=3 cpu=1 M_NOWAIT
thread2: set-max zone1 items=1
""",
    ),
    case(
        "limit-cleared",
        "uma_zone_set_max() takes a limit away while a thread has seen that there is one: "
        "zone_alloc_limit() loads it again, and panics",
        "zone_alloc_bucket zone_alloc_item zone_alloc_limit uma_zone_set_max", 2,
        r"Assertion max > N failed",
        traces=r"thread[1-4]: set-max ",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=6000 limit=20
thread1: alloc zone1 item=1 cpu=1 M_NOWAIT
thread2: set-max zone1 items=0
""",
    ),
    case(
        "limit-cleared-waiter",
        "uma_zone_set_max() wakes who waits at a limit that it takes away; zone_alloc_limit_hard()"
        " takes 0 for a limit that is reached, and waits again, for what nobody counts any more",
        "zone_alloc_limit_hard uma_zone_set_max", 2, r"^invariant: wakeup-lost: .* that has none",
        traces=r"set-max .*items=0",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=1000 limit=1
alloc zone1 item=1 cpu=0 M_NOWAIT
alloc zone1 item=2 cpu=0 M_WAITOK meanwhile set-max zone1 items=0
""",
    ),
    case(
        "fails-twice",
        "a failure to fill a bucket counts as a failed allocation: one allocation counts twice, or"
        " counts as failed though it gets an item",
        "zone_alloc_bucket zone_alloc_item", 2, r"^invariant: fails-count",
        fix=fix("zone_alloc_bucket", "counter_u64_add(zone->uz_fails, 1)", "(void)0"),
        trace="""\
zones domains=2 cpus=0,1
zone1 size=500
refuse domain=1
alloc zone1 item=1 cpu=1 M_NOWAIT
""",
    ),
    case(
        "nobucket-contended",
        "zone_domain_lock() makes buckets larger when the lock is held by another thread, also "
        "those of a zone without buckets (UMA_ZONE_NOBUCKET): uma_zalloc_domain() takes it there, "
        "too",
        "zone_domain_lock uma_zalloc_domain", 2, r"^invariant: nobucket-caches",
        traces=r"^(?!.*(limit=|maxcache=|set-max)).* nobucket.*(thread|contend)",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=1000 nobucket
thread1: alloc zone1 item=1 cpu=0 domain=0 M_NOWAIT
thread2: alloc zone1 item=2 cpu=1 domain=0 M_NOWAIT
thread2: alloc zone1 item=3 cpu=1 M_NOWAIT
""",
    ),
    case(
        "cross-bucket-moved",
        "a thread that frees to another domain is moved between taking the full bucket of such "
        "items from its CPU, and giving it to a domain: where it is then on a CPU of the item's "
        "domain, zone_free_bucket() takes all items of the bucket for that domain's",
        "cache_free zone_free_bucket uma_zalloc_domain", 3,
        r"bucket cache item N from wrong domain|^invariant: (cached|asked)-domain",
        traces=r"^(?!.*M_USE_RESERVE).*(migrate|free [^\n]* meanwhile move)",
        trace="""\
zones domains=3 cpus=0,1,2
zone1 size=6000
alloc zone1 item=1 cpu=1 M_NOWAIT
alloc zone1 item=2 cpu=1 M_NOWAIT
alloc zone1 item=3 cpu=2 M_NOWAIT
free item=1 cpu=0
free item=3 cpu=0
thread1: free item=2 cpu=0
thread1: alloc zone1 item=4 cpu=1 domain=1 M_NOWAIT
thread2: migrate thread=1 cpu=1
""",
    ),
    case(
        "reserve-grows",
        "an M_USE_RESERVE allocation whose domain has nothing takes items from slabs of others, "
        "which, once freed, lie in the caches of the others: the next one does not find them, and "
        "takes new ones",
        "keg_fetch_slab zone_import cache_alloc", 2, r"^invariant: memory-grows",
        introduced="the commit that drop-commit takes out",
        traces=r"(refuse|exhaust) .*steady .*M_USE_RESERVE",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=1000
refuse domain=0
steady zone1 items=3 cpu=0 M_NOWAIT|M_USE_RESERVE
""",
    ),
    case(
        "novm-bucket",
        "an M_NOVM allocation that gets a bucket and nothing to fill it with gives it back by "
        "bucket_free(), for which cache_free() allocates a bucket without M_NOVM, and so pages",
        "zone_alloc_bucket bucket_free cache_free", 3, r"^invariant: pages-without-vm",
        traces=r"M_NOVM",
        trace="""\
zones domains=3 cpus=0,1,2 without=fails-count
zone1 size=2000
zone2 size=96
zone3 size=96 limit=400
zone4 size=500
alloc zone1 item=1 cpu=0 M_NOWAIT|M_NOVM
alloc zone2 item=2 cpu=0 M_NOWAIT|M_NOVM
alloc zone3 item=3 cpu=0 M_NOWAIT|M_NOVM
alloc zone4 item=4 cpu=0 M_NOWAIT|M_NOVM
alloc zone1 item=5 cpu=1 M_NOWAIT|M_NOVM
alloc zone2 item=6 cpu=1 M_NOWAIT|M_NOVM
alloc zone3 item=7 cpu=1 M_NOWAIT|M_NOVM
alloc zone4 item=8 cpu=1 M_NOWAIT|M_NOVM
""",
    ),
    case(
        "smr-drain",
        "UMA_RECLAIM_DRAIN_CPU leaves the buckets that items of smr(9) are freed to with the CPUs,"
        " even if there are no readers (a comment says that frees would wait without them)",
        "cache_drain_safe_cpu", 2, r"^invariant: smr-drain-leaves",
        trace="""\
zones domains=2 cpus=0,1 without=own-items
zone1 size=256 smr
alloc zone1 item=1 cpu=0 M_NOWAIT
""",
    ),
)  # fmt: skip
