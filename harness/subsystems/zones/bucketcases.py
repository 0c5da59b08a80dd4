"""Named cases of buckets and caches: their contents, and their number."""

from __future__ import annotations

from typing import Final

from harness.subsystems.zones.makecase import case, fix

#: How a bucket is filled, with these flags.
_FILL: Final = (
    "zone->uz_import(zone->uz_arg, bucket->ub_bucket, MIN(maxbucket, bucket->ub_entries), "
    "domain, {})"
)

_OF_ONE_DOMAIN: Final = fix(
    "zone_alloc_bucket", _FILL.format("flags"),
    _FILL.format("domain == UMA_ANYDOMAIN ? flags : flags & ~M_USE_RESERVE"),
)  # fmt: skip
_FOREIGN_ITEM: Final = r"bucket cache item N from wrong domain|^invariant: cached-domain"
_COMMIT: Final = "the commit that drop-commit takes out"

BUCKET_CASES: Final = (
    case(
        "bucket-domain-race",
        "a bucket that was filled from several domains, as an M_USE_RESERVE allocation may, comes "
        "into the cache of one of them, as another thread has loaded a bucket meanwhile; see "
        "bucket-domain",
        "cache_alloc zone_put_bucket uma_zalloc_domain", 2, _FOREIGN_ITEM,
        introduced=_COMMIT,
        traces=r"M_USE_RESERVE.*(meanwhile|thread)|(meanwhile|thread).*M_USE_RESERVE",
        fix=_OF_ONE_DOMAIN,
        trace="""\
zones domains=2 cpus=0,1
zone1 size=96
alloc zone1 item=1 cpu=1 domain=1 M_NOWAIT
refuse domain=1
alloc zone1 item=2 cpu=1 M_NOWAIT|M_USE_RESERVE meanwhile free item=1 cpu=1
alloc zone1 item=3 cpu=1 domain=1 M_NOWAIT
""",
    ),
    case(
        "bucket-domain-frees",
        "a bucket that was filled from several domains, as an M_USE_RESERVE allocation may, comes "
        "into the cache of one of them by frees alone: they fill it up, it changes places with "
        "the bucket for frees, and is given to the domain of the item that is freed next; see "
        "bucket-domain",
        "uma_zfree_arg cache_free zone_free_bucket uma_zalloc_domain", 2, _FOREIGN_ITEM,
        introduced=_COMMIT,
        traces=r"^(?!.*reclaim).*M_USE_RESERVE.*free ",
        fix=_OF_ONE_DOMAIN,
        trace="""\
zones domains=2 cpus=0,1
zone1 size=4000
alloc zone1 item=1 cpu=0 domain=0 M_NOWAIT
alloc zone1 item=2 cpu=0 domain=0 M_NOWAIT
alloc zone1 item=3 cpu=0 domain=0 M_NOWAIT
alloc zone1 item=4 cpu=0 domain=0 M_NOWAIT
refuse domain=0
alloc zone1 item=5 cpu=0 M_NOWAIT|M_USE_RESERVE
free item=1 cpu=0
free item=2 cpu=0
free item=3 cpu=0
free item=4 cpu=0
alloc zone1 item=1 cpu=0 domain=0 M_NOWAIT
alloc zone1 item=2 cpu=0 domain=0 M_NOWAIT
alloc zone1 item=3 cpu=0 domain=0 M_NOWAIT
alloc zone1 item=4 cpu=0 domain=0 M_NOWAIT
""",
    ),
    case(
        "bucket-domain",
        "a bucket that was filled from several domains, as an M_USE_RESERVE allocation may, comes"
        " into the cache of one of them: uma_zalloc_domain() asserts that its items are that "
        "domain's, and without INVARIANTS foreign memory is handed out",
        "zone_import cache_free zone_free_bucket uma_zalloc_domain", 2,
        _FOREIGN_ITEM,
        introduced=_COMMIT,
        traces="M_USE_RESERVE",
        fix=_OF_ONE_DOMAIN,
        trace="""\
zones domains=2 cpus=0,1
zone1 size=500
refuse domain=0
alloc zone1 item=1 cpu=0 M_NOWAIT|M_USE_RESERVE
reclaim zone1 domain=1 cpu=1 drain-cpu
alloc zone1 item=2 cpu=0 domain=0 M_NOWAIT
""",
    ),
    case(
        "empty-domain-bucket",
        "a CPU of a domain without memory allocates from other domains' buckets; when its cache "
        "is drained, they come into the cache of its own domain, for which uma_zalloc_domain() "
        "then asserts that their items lie there",
        "cache_drain_safe_cpu zone_free_bucket uma_zalloc_domain", 3,
        _FOREIGN_ITEM,
        traces=r"empty=",
        vm="memoryless-kasan",
        fix=fix("zone_put_bucket", "bucket->ub_cnt == 0",
                 "bucket->ub_cnt == 0 || VM_DOMAIN_EMPTY(domain)"),
        trace="""\
zones domains=3 cpus=0,1,2 empty=1
zone1 size=2000
alloc zone1 item=1 cpu=1 M_NOWAIT
reclaim zone1 domain=0 cpu=1 drain-cpu
free item=1 cpu=1
alloc zone1 item=1 cpu=1 domain=1 M_NOWAIT
""",
    ),
    case(
        "nobucket-maxcache",
        "uma_zone_set_max() and uma_zone_set_maxcache() give a zone buckets that was made without"
        " (UMA_ZONE_NOBUCKET)",
        "uma_zone_set_maxcache", 2, r"^invariant: nobucket-caches",
        traces=r"nobucket.*set-max|max(cache)?=.* nobucket|limit=.* nobucket",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=4000 maxcache=400 nobucket
alloc zone1 item=1 cpu=0 M_NOWAIT
""",
    ),
    case(
        "maxcache-exceeded",
        "a zone caches more than uma_zone_set_maxcache() allows, as each domain's cache may hold "
        "what is to be left over for all of them together (uma(9): the limit applies to both)",
        "uma_zone_set_maxcache zone_put_bucket", 2, r"^invariant: over-maxcache",
        traces=r"maxcache=",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=1000 maxcache=10 round-robin
alloc zone1 item=1 cpu=0 M_NOWAIT
alloc zone1 item=2 cpu=1 M_NOWAIT
alloc zone1 item=3 cpu=0 M_NOWAIT
alloc zone1 item=4 cpu=1 M_NOWAIT
alloc zone1 item=5 cpu=0 M_NOWAIT
alloc zone1 item=6 cpu=0 M_NOWAIT
alloc zone1 item=7 cpu=0 M_NOWAIT
alloc zone1 item=8 cpu=0 M_NOWAIT
alloc zone1 item=9 cpu=1 M_NOWAIT
alloc zone1 item=10 cpu=1 M_NOWAIT
free item=7 cpu=0
alloc zone1 item=7 cpu=1 M_NOWAIT
""",
    ),
    case(
        "cross-bucket-entries",
        "once uma_zone_set_max() or uma_zone_set_maxcache() leave no room for buckets, "
        "zone_free_cross() fills one that has no entries, and writes behind its end",
        "zone_free_cross bucket_alloc", 3,
        r".",  # memory behind the bucket is overwritten: its fix tells
        traces=r"domains=[3-8].*set-max",
        fix=fix("bucket_alloc", "min(ubz->ubz_entries, zone->uz_bucket_size_max)",
                 "max(1, min(ubz->ubz_entries, zone->uz_bucket_size_max))"),
        trace="""\
zones domains=3 cpus=0,1,2
zone1 size=96
alloc zone1 item=1 cpu=2 M_NOWAIT
free item=1 cpu=1
set-maxcache zone1 items=10
reclaim zone1 domain=0 cpu=1 drain-cpu
""",
    ),
    case(
        "smr-unused-bucket",
        "a thread that frees to a zone of smr(9) gives a CPU a fresh bucket, is moved before it "
        "puts the item there, and leaves the bucket empty: when the zone is drained, "
        "cache_drain() gives it a sequence number, and bucket_free() asserts that it has none",
        "cache_free cache_drain bucket_free", 2, r"Freeing an SMR bucket",
        traces=r"^(?!.*set-max).*[ -]smr",
        fix=fix("bucket_free", "bucket->ub_seq == SMR_SEQ_INVALID", "true"),
        trace="""\
zones domains=2 cpus=0,1
zone1 size=2000 cache smr
alloc zone1 item=1 cpu=1 M_NOWAIT
free item=1 cpu=1
alloc zone1 item=2 cpu=1 M_NOWAIT
free item=2 cpu=0 meanwhile move cpu=1 gap=1
""",
    ),
    case(
        "bucket-shrinks",
        "bucket_alloc() chooses a bucket's zone by the size of buckets, and its number of entries "
        "by their maximum size, which uma_zone_set_max() or uma_zone_set_maxcache() may have "
        "lowered meanwhile: the bucket is then freed to another zone than it came from, or has no "
        "entries",
        "bucket_alloc bucket_free uma_zone_set_maxcache", 1,
        r".",  # a bucket is in two zones, or memory behind it is overwritten: its fix tells
        traces=r"meanwhile set-max|^(?!.* smr).*thread.*set-max",
        fix=fix("bucket_alloc", "min(ubz->ubz_entries, zone->uz_bucket_size_max)",
                 "max((ubz == bucket_zones ? 0 : (ubz - 1)->ubz_entries) + 1, "
                 "min(ubz->ubz_entries, zone->uz_bucket_size_max))"),
        trace="""\
zones domains=1 cpus=0,0
zone1 size=96
alloc zone1 item=1 cpu=0 M_NOWAIT
reclaim zone1 drain-cpu
free item=1 cpu=0 meanwhile set-maxcache zone1 items=3 gap=2
""",
    ),
    case(
        "pcpu-grows",
        "slabs of UMA_ZONE_PCPU zones have a page of each CPU's domain, and items count as of CPU"
        " 0's: what a CPU of another domain frees, it does not find when it allocates, and takes "
        "new memory",
        "pcpu_page_alloc item_domain uma_zfree_arg cache_alloc", 2, r"^invariant: memory-grows",
        traces=r" pcpu.*stock|stock.* pcpu",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=96 pcpu stock
steady zone1 items=0 cpu=1 M_NOWAIT
""",
    ),
    case(
        "empty-domain-grows",
        "uma_zalloc_domain() of a domain without memory takes items from slabs of others, which, "
        "once freed, lie in the caches of the others: it does not find them, and takes new ones",
        "uma_zalloc_domain zone_alloc_item", 3, r"^invariant: memory-grows",
        traces=r" empty=.*steady .* domain=",
        vm="memoryless-kasan",
        trace="""\
zones domains=3 cpus=0,1,2 empty=1
zone1 size=2000
steady zone1 items=6 cpu=2 domain=1 M_NOWAIT
""",
    ),
    case(
        "maxcache-bucket-zone",
        "uma_zone_set_maxcache() lowers uz_bucket_size_max while a thread in bucket_alloc() has "
        "chosen a bucket zone by the old size, and not yet stored the bucket's entries by the new "
        "one: bucket_free() gives the bucket to another bucket zone than it came from",
        "bucket_alloc bucket_free uma_zone_set_maxcache", 2,
        r"(Unaligned|Duplicate) free of N from zone N\(N Bucket\)",
        traces=r"thread[1-4]: set-max",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=1000
thread1: alloc zone1 item=1 cpu=1 M_NOWAIT
thread1: reclaim zone1 cpu=1 drain-cpu
thread2: set-maxcache zone1 items=10
""",
    ),
    case(
        "bucket-size-race",
        "bucket_cache_reclaim() and zone_domain_lock() change uz_bucket_size without a lock: when "
        "uma_zone_set_max() or uma_zone_set_maxcache() sets it to 0 between the comparison and the "
        "decrement, it becomes 65535, and buckets come from the largest bucket zone, have no "
        "entries, and go to the smallest; so it is until the limit is set again",
        "bucket_cache_reclaim zone_domain_lock uma_zone_set_maxcache bucket_alloc", 2,
        r"^invariant: bucket-size: buckets are of N items",
        traces=r"thread[1-4]: set-max",
        trace="""\
zones domains=2 cpus=0,1
zone1 size=6000 limit=40
thread1: set-max zone1 items=3
thread2: reclaim zone1 cpu=1 trim
""",
    ),
    case(
        "smr-empty-bucket",
        "uma_zone_set_max() leaves no room for buckets while a thread that frees to an SMR zone "
        "has seen that there is some: bucket_alloc() gives it one without entries, which stays in "
        "the CPU's cache, and for which uma_zdestroy() panics, as cache_drain() gives an empty "
        "bucket a sequence number that bucket_free() does not expect",
        "cache_free bucket_alloc cache_drain bucket_free", 2, r"Freeing an SMR bucket",
        traces=r" smr.*thread[1-4]: set-max",
        trace="""\
zones domains=2 cpus=0,1 without=own-items,smr-drain-leaves
zone1 size=256 limit=10 smr
alloc zone1 item=1 cpu=1 M_NOWAIT
thread1: free item=1 cpu=1
thread2: set-max zone1 items=1
""",
    ),
)  # fmt: skip
