/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Items of a trace's zones: they are allocated and freed, and what can be said
 * of that by itself is looked at.
 */

#include "zones.h"

#include <sys/domainset.h>
#include <sys/malloc.h>
#include <sys/pcpu.h>
#include <sys/proc.h>
#include <sys/smp.h>
#include <sys/smr.h>
#include <sys/vmmeter.h>

#include <vm/pmap.h>
#include <vm/vm_phys.h>

#define MARK	0x7a6f6e65736d6172UL	/* of an item that is held, at its start */
#define ROUNDS	5			/* of a steady use */
#define IN_ROUND	600		/* more than two of the largest buckets hold */
#define BATCH_MAX	8
#define LOOKS		3			/* of a reader at an item */

void *zones_item[ZONES_SLOTS];
uint8_t zones_item_zone[ZONES_SLOTS];

void
items_forget(void)
{
	memset(zones_item, 0, sizeof(zones_item));
}

/* --- items ---------------------------------------------------------------- */

static volatile uint64_t *
mark_of(void *item)
{
	return ((volatile uint64_t *)item);
}

static void
dispose(const struct zones_zone *each, void *item)
{
	if ((each->kind & KIND_SMR) != 0)
		uma_zfree_smr(each->zone, item);
	else if ((each->kind & KIND_PCPU) != 0)
		uma_zfree_pcpu(each->zone, zpcpu_base_to_offset(item));
	else
		uma_zfree(each->zone, item);
}

/* As the operation says; NULL: there is none. */
static void *
obtain(const struct zones_zone *each, const struct zones_operation *operation)
{
	void *item;

	if ((each->kind & KIND_SMR) != 0)
		return (uma_zalloc_smr(each->zone, operation->flags));
	if ((each->kind & KIND_PCPU) != 0) {
		item = uma_zalloc_pcpu(each->zone, operation->flags);
		return (item != NULL ? zpcpu_offset_to_base(item) : NULL);
	}
	if (operation->domain == ZONES_BY_CPU)
		return (uma_zalloc(each->zone, operation->flags));
	return (uma_zalloc_domain(each->zone, NULL, (int)operation->domain, operation->flags));
}

static void
give(unsigned number, unsigned slot)
{
	struct zones_zone *each = &zones[number];
	void *item = zones_item[slot];

	if (*mark_of(item) != (MARK ^ slot))
		zones_broken("item-overwritten", "an item that is held was written to by others");
	*mark_of(item) = 0;
	zones_item[slot] = NULL;
	each->in_use--;
	dispose(each, item);
}

void
items_free(unsigned slot)
{
	if (zones_item[slot] != NULL)
		give(zones_item_zone[slot], slot);
}

static void
check_zeroed(const struct zones_zone *each, const char *item)
{
	for (uint32_t at = 0; at < each->zone->uz_size; at++)
		if (item[at] != 0) {
			zones_broken("not-zeroed", "M_ZERO: byte %u of an item is not zero", at);
			return;
		}
}

static uint64_t stamps;		/* of items of SMR zones, each another one */

/* The second word of an item says which use of it this is. */
static bool
has_stamp(const struct zones_zone *each)
{
	return ((each->kind & KIND_SMR) != 0 && each->zone->uz_size >= 2 * sizeof(uint64_t));
}

/* An item was handed out. */
static void
take(unsigned number, unsigned slot, void *item, int flags)
{
	if ((*mark_of(item) & ~(uint64_t)(ZONES_SLOTS - 1)) ==
	    (MARK & ~(uint64_t)(ZONES_SLOTS - 1)))
		zones_broken("item-twice", "an item is handed out that is held already");
	if (((uintptr_t)item & zones[number].align_mask) != 0)
		zones_broken("item-misaligned", "an item is not aligned as its zone says");
	if ((flags & M_ZERO) != 0)
		check_zeroed(&zones[number], item);
	if (has_stamp(&zones[number]))
		mark_of(item)[1] = ++stamps;
	*mark_of(item) = MARK ^ slot;
	zones_item[slot] = item;
	zones_item_zone[slot] = (uint8_t)number;
	zones[number].in_use++;
}

/* --- allocations ---------------------------------------------------------- */

/* What an allocation is held to, by what was there before it. */
struct before {
	uma_bucket_t	first[ZONES_DOMAINS];	/* of each domain's cached buckets */
	uint32_t	free_items[ZONES_DOMAINS];
	uint16_t	bucket_size;
};

static int
cpu_domain(void)
{
	return (PCPU_GET(domain));
}

static struct before
before(const struct zones_zone *each)
{
	struct before was = { .bucket_size = each->zone->uz_bucket_size };

	for (int domain = 0; domain < vm_ndomains; domain++)
		was.first[domain] = STAILQ_FIRST(&ZDOM_GET(each->zone, domain)->uzd_buckets);
	if ((each->kind & KIND_CACHE) == 0)
		for (int domain = 0; domain < vm_ndomains; domain++)
			was.free_items[domain] =
			    each->zone->uz_keg->uk_domain[domain].ud_free_items;
	return (was);
}

/* What the reserve is for is left alone by those who do not ask for it. */
static void
check_reserve(const struct zones_zone *each, const struct before *was)
{
	uint32_t reserve;

	if ((each->kind & KIND_CACHE) != 0 || memory_was_interrupted())
		return;
	reserve = each->zone->uz_keg->uk_reserve;
	for (int domain = 0; domain < vm_ndomains; domain++) {
		uint32_t left = each->zone->uz_keg->uk_domain[domain].ud_free_items;

		if (left < MIN(reserve, was->free_items[domain]))
			zones_broken("reserve-taken",
			    "domain %d: %u free items are left of %u, %u are reserved", domain,
			    left, was->free_items[domain], reserve);
	}
}

/* A bucket that comes from a domain's cache has that domain's items. */
static void
check_cached_domain(const struct zones_zone *each, const struct before *was, const void *item)
{
	int domain = cpu_domain(), real;

	if (was->first[domain] == NULL || memory_was_interrupted() ||
	    (each->kind & (KIND_CACHE | KIND_PCPU | KIND_ROUNDROBIN | KIND_HASHED)) != 0 ||
	    each->zone->uz_cpu[zones_cpu()].uc_allocbucket.ucb_bucket != was->first[domain])
		return;
	real = vm_phys_domain(vtophys(item));
	if (real != domain)
		zones_broken("cached-domain",
		    "an item of domain %d comes out of the bucket cache of domain %d", real, domain);
}

static bool
was_cached(const struct before *was, uma_bucket_t bucket)
{
	for (int domain = 0; domain < vm_ndomains; domain++)
		if (was->first[domain] == bucket)
			return (true);
	return (false);
}

/* Without a reserve, and where nothing was short, a bucket is filled (zone_import()). */
static void
check_filled(const struct zones_operation *operation, const struct zones_zone *each,
    const struct before *was, uma_bucket_t had)
{
	const struct uma_cache_bucket *now = &each->zone->uz_cpu[zones_cpu()].uc_allocbucket;

	if ((operation->flags & M_NOVM) != 0 || now->ucb_bucket == NULL || now->ucb_bucket == had ||
	    was_cached(was, now->ucb_bucket) ||
	    (each->kind & KIND_CACHE) != 0 || each->zone->uz_keg->uk_reserve > 0 ||
	    memory_was_refused() || memory_has_failed() || memory_was_interrupted() ||
	    each->zone->uz_max_items > 0 || each->zone->uz_bucket_size != was->bucket_size)
		return;
	if (now->ucb_cnt + 1 < MIN(now->ucb_entries, was->bucket_size))
		zones_broken("bucket-not-filled", "a fresh bucket has %d of %d items", now->ucb_cnt + 1,
		    MIN(now->ucb_entries, was->bucket_size));
}

void
items_alloc(const struct zones_operation *operation)
{
	struct zones_zone *each = &zones[operation->zone];
	struct before was = before(each);
	const struct uma_cache *cache = &each->zone->uz_cpu[zones_cpu()];
	uma_bucket_t had = cache->uc_allocbucket.ucb_bucket;
	bool had_free = cache->uc_freebucket.ucb_cnt > 0;
	void *item;

	each->used = true;	/* from its beginning on */
	item = obtain(each, operation);
	if (item != NULL && zones_item[operation->slot] != NULL)
		dispose(each, item);	/* another thread has filled the slot meanwhile */
	else if (item != NULL)
		take((unsigned)operation->zone, (unsigned)operation->slot, item, operation->flags);
	else if ((operation->flags & M_WAITOK) != 0 && !memory_has_failed_above() &&
	    ((each->kind & KIND_CACHE) == 0 || !memory_was_refused()))
		zones_broken("waitok-null", "an allocation that may wait gets nothing");
	if ((operation->flags & M_USE_RESERVE) == 0)
		check_reserve(each, &was);
	if (item == NULL || operation->domain != ZONES_BY_CPU || had_free)
		return;
	check_cached_domain(each, &was, item);
	check_filled(operation, each, &was, had);
}

/* --- readers -------------------------------------------------------------- */

/*
 * Looks at an item as readers of smr(9) do: without a lock, while its owner may
 * free it.  Until the reader leaves its section nobody else gets the item.
 */
void
items_read(const struct zones_operation *operation)
{
	const struct zones_zone *each = &zones[zones_item_zone[operation->slot]];
	volatile uint64_t *item;
	uint64_t stamp;

	if (zones_item[operation->slot] == NULL || !has_stamp(each))
		return;
	smr_enter(each->zone->uz_smr);
	if ((item = *(void *volatile *)&zones_item[operation->slot]) != NULL) {
		stamp = item[1];
		for (int look = 0; look < LOOKS; look++) {
			zones_pause();
			if (item[1] != stamp) {
				zones_broken("read-changed",
				    "an item is used again while a reader looks at it");
				break;
			}
		}
	}
	smr_exit(each->zone->uz_smr);
}

/* --- steady use ----------------------------------------------------------- */

static unsigned
pages_of(const struct zones_zone *each)
{
	unsigned pages = 0;

	for (int domain = 0; domain < vm_ndomains; domain++)
		pages += each->zone->uz_keg->uk_domain[domain].ud_pages;
	return (pages);
}

static void
use_a_few(const struct zones_zone *each, const struct zones_operation *operation, long count)
{
	void *held[BATCH_MAX];

	for (long i = 0; i < count; i++)
		held[i] = obtain(each, operation);
	for (long i = 0; i < count; i++)
		if (held[i] != NULL)
			dispose(each, held[i]);
}

/* A few items are allocated and freed again and again, on one CPU: no round may need more. */
void
items_steady(const struct zones_operation *operation)
{
	struct zones_zone *each = &zones[operation->zone];
	long count = operation->number % BATCH_MAX + 1;
	unsigned grown = 0;

	each->used = true;
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned pages = pages_of(each);

		for (long i = 0; i < IN_ROUND; i += count)
			use_a_few(each, operation, count);
		grown += pages_of(each) > pages;
	}
	if (grown == ROUNDS)
		zones_broken("memory-grows", "%u rounds of %d items, used and freed on one CPU, "
		    "take more memory each", ROUNDS, IN_ROUND);
}

bool
items_can_use(const struct zones_operation *operation)
{
	unsigned kind = zones[operation->zone].kind;

	/* Headers elsewhere are of a stock zone, whose allocator asserts (malloc2vm_flags()). */
	if ((kind & (KIND_HASHED | KIND_OFFPAGE | KIND_PCPU | KIND_STOCK)) != 0 &&
	    (operation->flags & (M_USE_RESERVE | M_NOWAIT)) == M_USE_RESERVE)
		return (false);
	return (operation->domain == ZONES_BY_CPU ||
	    (kind & (KIND_ROUNDROBIN | KIND_SMR | KIND_PCPU | KIND_HASHED | KIND_CACHE)) == 0);
}

bool
items_can_alloc(const struct zones_operation *operation)
{
	return (zones_item[operation->slot] == NULL && items_can_use(operation));
}
