/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Operations on the zones of a trace, and what can be said of each by itself.
 * One that is not possible just now, such as the free of an item that is not
 * held, does nothing: so any part of a trace is a trace.
 */

#include "zones.h"

#include <sys/domainset.h>
#include <sys/malloc.h>
#include <sys/pcpu.h>
#include <sys/smp.h>
#include <sys/vmmeter.h>

#include <vm/pmap.h>
#include <vm/vm_phys.h>

#define WITHOUT_LIMIT	1000000
#define MARK	0x7a6f6e65736d6172UL	/* of an item that is held, at its start */

void *zones_item[ZONES_SLOTS];
uint8_t zones_item_zone[ZONES_SLOTS];

static PER_THREAD const struct zones_operation *running;

void
zones_forget_items(void)
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
give(unsigned number, unsigned slot)
{
	struct zones_zone *each = &zones[number];
	void *item = zones_item[slot];

	if (*mark_of(item) != (MARK ^ slot))
		zones_broken("item-overwritten", "an item that is held was written to by others");
	*mark_of(item) = 0;
	zones_item[slot] = NULL;
	each->in_use--;
	if ((each->kind & KIND_SMR) != 0)
		uma_zfree_smr(each->zone, item);
	else if ((each->kind & KIND_PCPU) != 0)
		uma_zfree_pcpu(each->zone, zpcpu_base_to_offset(item));
	else
		uma_zfree(each->zone, item);
}

void
zones_free_slot(unsigned slot)
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

/* An item was handed out. */
static void
take(unsigned number, unsigned slot, void *item, int flags)
{
	if ((*mark_of(item) & ~(uint64_t)(ZONES_SLOTS - 1)) ==
	    (MARK & ~(uint64_t)(ZONES_SLOTS - 1)))
		zones_broken("item-twice", "an item is handed out that is held already");
	if ((flags & M_ZERO) != 0)
		check_zeroed(&zones[number], item);
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
check_filled(const struct zones_zone *each, const struct before *was, uma_bucket_t had)
{
	const struct uma_cache_bucket *now = &each->zone->uz_cpu[zones_cpu()].uc_allocbucket;

	if ((running->flags & M_NOVM) != 0 || now->ucb_bucket == NULL || now->ucb_bucket == had ||
	    was_cached(was, now->ucb_bucket) ||
	    (each->kind & KIND_CACHE) != 0 || each->zone->uz_keg->uk_reserve > 0 ||
	    memory_was_refused() || memory_has_failed() || memory_was_interrupted() ||
	    each->zone->uz_max_items > 0 || each->zone->uz_bucket_size != was->bucket_size)
		return;
	if (now->ucb_cnt + 1 < MIN(now->ucb_entries, was->bucket_size))
		zones_broken("bucket-not-filled", "a fresh bucket has %d of %d items", now->ucb_cnt + 1,
		    MIN(now->ucb_entries, was->bucket_size));
}

static void
run_alloc(void *unused __unused)
{
	const struct zones_operation *operation = running;
	struct zones_zone *each = &zones[operation->zone];
	struct before was = before(each);
	const struct uma_cache *cache = &each->zone->uz_cpu[zones_cpu()];
	uma_bucket_t had = cache->uc_allocbucket.ucb_bucket;
	bool had_free = cache->uc_freebucket.ucb_cnt > 0;
	void *item;

	each->used = true;	/* from its beginning on */
	if ((each->kind & KIND_SMR) != 0)
		item = uma_zalloc_smr(each->zone, operation->flags);
	else if ((each->kind & KIND_PCPU) != 0) {
		item = uma_zalloc_pcpu(each->zone, operation->flags);
		if (item != NULL)
			item = zpcpu_offset_to_base(item);
	} else if (operation->domain == ZONES_BY_CPU)
		item = uma_zalloc(each->zone, operation->flags);
	else
		item = uma_zalloc_domain(each->zone, NULL, (int)operation->domain,
		    operation->flags);
	if (item != NULL)
		take((unsigned)operation->zone, (unsigned)operation->slot, item, operation->flags);
	else if ((operation->flags & M_WAITOK) != 0 && !memory_has_failed() &&
	    ((each->kind & KIND_CACHE) == 0 || !memory_was_refused()))
		zones_broken("waitok-null", "an allocation that may wait gets nothing");
	if ((operation->flags & M_USE_RESERVE) == 0)
		check_reserve(each, &was);
	if (item == NULL || operation->domain != ZONES_BY_CPU || had_free)
		return;
	check_cached_domain(each, &was, item);
	check_filled(each, &was, had);
}

static bool
can_alloc(const struct zones_operation *operation)
{
	const struct zones_zone *each = &zones[operation->zone];
	unsigned kind = each->kind;

	if (zones_item[operation->slot] != NULL)
		return (false);
	/* Headers elsewhere are of a stock zone, whose allocator asserts (malloc2vm_flags()). */
	if ((kind & (KIND_HASHED | KIND_OFFPAGE | KIND_PCPU)) != 0 &&
	    (operation->flags & (M_USE_RESERVE | M_NOWAIT)) == M_USE_RESERVE)
		return (false);
	return (operation->domain == ZONES_BY_CPU ||
	    (kind & (KIND_ROUNDROBIN | KIND_SMR | KIND_PCPU | KIND_HASHED | KIND_CACHE)) == 0);
}

/* --- other operations ----------------------------------------------------- */

static void
run_free(void *unused __unused)
{
	zones_free_slot((unsigned)running->slot);
}

static void
run_prealloc(void *unused __unused)
{
	uma_prealloc(zones[running->zone].zone, (int)running->number);
}

static void
run_reclaim(void *unused __unused)
{
	static const int requests[] = { UMA_RECLAIM_TRIM, UMA_RECLAIM_DRAIN, UMA_RECLAIM_DRAIN_CPU };
	int domain = running->domain < 0 ? UMA_ANYDOMAIN : (int)running->domain;

	uma_zone_reclaim_domain(zones[running->zone].zone, requests[running->number % 3], domain);
}

static void
run_timeout(void *unused __unused)
{
	zones_timeout();
}

static void
set_max(const struct zones_operation *operation)
{
	struct zones_zone *each = &zones[operation->zone];

	if (each->zone->uz_max_items == 0 && each->used)
		return;		/* asserted against, though not while the first allocation runs */
	uma_zone_set_max(each->zone, (int)operation->number);
	/* Not exact once there was none: what was allocated meanwhile was not counted. */
	each->limited = operation->number > 0 && (each->limited || !each->used);
	each->lowered |= each->used;
	each->maxcache = -1;
}

static void
set_maxcache(const struct zones_operation *operation)
{
	uma_zone_set_maxcache(zones[operation->zone].zone, (int)operation->number);
	zones[operation->zone].maxcache = -1;	/* more may be cached already */
}

static bool
has_secondary(long number)
{
	for (unsigned other = 0; other < ZONES_MAX; other++)
		if (other != number && zones[other].zone != NULL &&
		    (zones[other].kind & KIND_SECONDARY) != 0 && zones[other].primary == number)
			return (true);
	return (false);
}

static void
destroy(long number)
{
	if (zones[number].in_use == 0 && !has_secondary(number))
		zones_destroy((unsigned)number);
}

/* A thread waits: for memory, or for items of a zone at its limit. */
static bool
wake(const char *wmesg)
{
	unsigned number = (unsigned)running->zone;

	if (strcmp(wmesg, "vmwait") == 0) {
		memory_recover();
		return (true);
	}
	if (strcmp(wmesg, "zonelimit") != 0)
		return (false);
	for (unsigned slot = 0; slot < ZONES_SLOTS; slot++)
		if (zones_item[slot] != NULL && zones_item_zone[slot] == number) {
			zones_free_slot(slot);
			return (true);
		}
	zones_broken("starvation", "a thread waits at the limit of a zone of which nothing is in use");
	uma_zone_set_max(zones[number].zone, WITHOUT_LIMIT);	/* so that it ends */
	zones[number].lowered = true;
	return (true);
}

static void
run_verb(const struct zones_operation *operation, bool nested)
{
	const struct zones_operation *outer = running;
	bool waits = (operation->flags & M_WAITOK) != 0;
	void (*function)(void *) = NULL;

	switch (operation->verb) {
	case 'a':
		if (can_alloc(operation) && !(waits && nested))
			function = run_alloc;
		break;
	case 'f':
		if (zones_item[operation->slot] != NULL)
			function = run_free;
		break;
	case 'p':
		/* It waits for the keg's initializer, too: not one that was told to fail. */
		if (!nested && (zones[operation->zone].kind & (KIND_CACHE | KIND_HASHED)) == 0)
			function = run_prealloc;
		waits = true;
		break;
	case 'd':
		function = run_reclaim;
		break;
	case 't':
		function = run_timeout;
		break;
	}
	if (function == NULL)
		return;
	running = operation;
	if (nested) {
		int cpu = zones_cpu();

		zones_move((int)operation->cpu);
		function(NULL);
		zones_move(cpu);
	} else if (waits)
		zones_wait((int)operation->cpu, function, NULL, wake);
	else
		run_on((int)operation->cpu, function, NULL);
	running = outer;
}

/* What is done at once, on no CPU in particular. */
static bool
is_done(const struct zones_operation *operation)
{
	switch (operation->verb) {
	case 'r':
	case 'y':
		memory_refuse((int)operation->domain, operation->verb == 'r');
		return (true);
	case 'l':
	case 'o':
		memory_low((int)operation->domain, operation->verb == 'l');
		return (true);
	case 'm':
		set_max(operation);
		return (true);
	case 'x':
		set_maxcache(operation);
		return (true);
	default:
		return (false);
	}
}

void
zones_run(const struct zones_operation *operation)
{
	memory_begin(operation);
	if (operation->verb == 'k')
		destroy(operation->zone);
	else if (!is_done(operation))
		run_verb(operation, false);
}

/* Another thread's, in the middle of an operation: where no lock is held. */
void
zones_nested(const struct zones_operation *operation)
{
	if (operation->verb == 'g')
		zones_move((int)operation->cpu);
	else if (!is_done(operation))
		run_verb(operation, true);
}
