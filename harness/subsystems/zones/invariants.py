"""The invariants of zones, by name; ``c/`` looks at them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

INVARIANTS: Final[Mapping[str, str]] = MappingProxyType({
    "item-twice": "no item is handed out twice, or is in two places",
    "item-overwritten": "nobody writes to an item that is held",
    "item-free": "what is held or cached is not free in its slab",
    "item-of-no-slab": "an item lies in a slab of its zone's keg, where items begin",
    "items-lost": "what a keg's slabs have given is held or cached",
    "released-twice": "a cache zone releases what it has imported, once",
    "slab-lists": "a slab is in the list that its free items put it into",
    "keg-counters": "a domain's counters agree with its lists of slabs",
    "cache-count": "a domain's bucket cache counts what its buckets hold",
    "bucket-overfull": "a bucket holds no more than it has entries",
    "bucket-size": "uz_bucket_size is at most uz_bucket_size_max",
    "nobucket-caches": "a zone with UMA_ZONE_NOBUCKET caches nothing",
    "current-count": "uma_zone_get_cur() is what is in use",
    "limit-count": "with a limit, uz_items is what is in use and cached",
    "over-limit": "in use and cached are at most the limit",
    "over-maxcache": "no more is cached than uma_zone_set_maxcache() allows",
    "reserve-taken": "only M_USE_RESERVE takes free items that are reserved",
    "cached-domain": "what comes out of a domain's bucket cache is that domain's",
    "bucket-not-filled": "without a reserve a fresh bucket is filled, if memory is not short",
    "waitok-null": "an allocation that may wait gets an item",
    "not-zeroed": "M_ZERO gives zeroed memory",
    "init-count": "the zone's initializer was called for each item in the zone, once",
    "keg-init-count": "the keg's initializer was called for each item of its slabs, once",
    "ctor-count": "the constructor was called for each item in use, once",
    "drain-leaves": "a drained zone keeps no more slabs than its reserve needs",
    "destroy-leaves": "nothing stays of zones that were destroyed",
    "lock-in-allocf": "no lock is held while the slab allocator is called",
    "read-changed": "an item is not used again while a reader of smr(9) looks at it",
    "slab-flags": "a slab is freed with the flags that its allocator gave",
    "kva-exceeded": "no page is mapped outside of the address space that a zone has reserved",
    "item-in-header": "the last item of a slab ends before the slab's header",
    "item-misaligned": "items are aligned as their zone says",
    "memory-grows": "a few items, used and freed again and again, take no more memory each time",
    "task-of-no-zone": "no task of a destroyed zone is queued",
    "buckets-lost": "each bucket that a zone of buckets has handed out is in a cache",
    "headers-lost": "each header that a zone of headers has handed out is a slab's",
    "own-items": "what UMA itself used for zones that were destroyed is not in use any more",
    "free-kept": "what is freed while somebody waits at the zone's limit does not stay in a cache",
    "wakeup-lost": "nobody waits at the limit of a zone that is below it",
    "fails-count": "an allocation that fails counts as failed once, and no other does",
    "pages-without-vm": "with M_NOVM, and for zones of the VM system, no other zone takes pages",
    "asked-domain": "uma_zalloc_domain() gives an item of the domain that has memory",
    "slab-request": "the slab allocator is asked for slabs of the keg, as the allocation allows",
    "slab-domain": "a first-touch zone asks the domain of the CPU, or the given one, for memory",
    "never-freed": "no slab is freed that was asked for with M_NEVERFREED",
    "constructor-arguments": "a constructor has the arguments of the allocation",
    "destructor-arguments": "a destructor has the argument of the free",
    "unmanaged-reclaimed": "the system reclaims nothing from a zone with UMA_ZONE_UNMANAGED",
    "notrim-trimmed": "the system trims no zone with UMA_ZONE_NOTRIM",
    "smr-drain-leaves": "the same for a zone of smr(9), if there are no readers",
    "size-count": "uma_size() is what slabs have",
    "memory-count": "uma_zone_memory() is what the zone's slabs have",
    "sleepers-count": "no thread counts as waiting at a limit when none runs",
    "starvation": "nobody waits at the limit of a zone of which nothing is in use",
})  # fmt: skip

#: Where one of these is broken, memory is still what UMA takes it for: a search may go on without
#: looking at it.
HARMLESS: Final = frozenset({
    "nobucket-caches", "current-count", "limit-count", "over-limit", "over-maxcache",
    "reserve-taken", "cached-domain", "bucket-not-filled", "waitok-null", "init-count",
    "ctor-count", "drain-leaves", "destroy-leaves", "bucket-size", "memory-grows", "own-items",
    "buckets-lost", "headers-lost",
    "fails-count", "sleepers-count", "asked-domain", "slab-domain", "never-freed",
    "pages-without-vm",
    "unmanaged-reclaimed", "notrim-trimmed", "smr-drain-leaves", "size-count", "memory-count",
    "constructor-arguments", "destructor-arguments", "slab-request",
    "free-kept", "wakeup-lost", "slab-flags", "starvation", "task-of-no-zone",
})  # fmt: skip
