/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Invariants of zones at rest, when no operation runs: found by walking over
 * slabs, buckets and items.  README.md has a line for each.
 */

#include "zones.h"

#include <sys/domainset.h>
#include <sys/lock.h>
#include <sys/mutex.h>
#include <sys/pcpu.h>
#include <sys/proc.h>
#include <sys/smp.h>
#include <sys/smr.h>
#include <sys/vmmeter.h>

#include <vm/pmap.h>
#include <vm/vm_phys.h>

#define SLABS_MAX	4096
#define WORDS		(SLAB_MAX_SETSIZE / 64)

/* The slabs of one keg, and which of their items were seen. */
static struct seen {
	char		*data;
	uma_slab_t	 slab;
	uint64_t	 seen[WORDS];
} slabs[SLABS_MAX];
static unsigned slab_count, items_seen;

static unsigned unfinished;		/* cached items whose destructor is still to come */
static uint8_t pool_seen[ZONES_MAX][POOL_ITEMS];

/* --- slabs ---------------------------------------------------------------- */

static void
check_slab(uma_keg_t keg, uma_slab_t slab, int domain, unsigned low, unsigned high)
{
	unsigned free_bits = 0;

	if (slab->us_freecount < low || slab->us_freecount > high)
		zones_broken("slab-lists", "a slab with %u of %u items free is in the wrong list",
		    slab->us_freecount, keg->uk_ipers);
	for (unsigned i = 0; i < keg->uk_ipers; i++)
		free_bits += BIT_ISSET(keg->uk_ipers, i, &slab->us_free) != 0;
	if (slab->us_freecount != free_bits)
		zones_broken("slab-lists", "a slab has %u items free by its bits, and counts %u",
		    free_bits, slab->us_freecount);
	if (slab->us_domain != domain)
		zones_broken("slab-lists", "a slab of domain %d is in domain %d's lists",
		    slab->us_domain, domain);
	if (slab_count == SLABS_MAX)
		return;
	memset(&slabs[slab_count], 0, sizeof(slabs[slab_count]));
	slabs[slab_count].slab = slab;
	slabs[slab_count++].data = slab_data(slab, keg);
	if ((keg->uk_flags & UMA_ZFLAG_OFFPAGE) == 0 &&
	    (keg->uk_ipers - 1U) * keg->uk_rsize + keg->uk_size > keg->uk_pgoff)
		zones_broken("item-in-header", "the last item of %u bytes reaches into the header",
		    keg->uk_size);
}

/* By address.  Shellsort: a guest's module and the host have no qsort() in common. */
static void
sort_slabs(void)
{
	static const unsigned gaps[] = { 1750, 701, 301, 132, 57, 23, 10, 4, 1 };

	for (unsigned g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++)
		for (unsigned i = gaps[g]; i < slab_count; i++) {
			struct seen moved = slabs[i];
			unsigned at = i;

			for (; at >= gaps[g] && slabs[at - gaps[g]].data > moved.data; at -= gaps[g])
				slabs[at] = slabs[at - gaps[g]];
			slabs[at] = moved;
		}
}

static void
walk_slabs(uma_keg_t keg)
{
	slab_count = items_seen = 0;
	for (int domain = 0; domain < vm_ndomains; domain++) {
		const struct uma_domain *dom = &keg->uk_domain[domain];
		unsigned items = 0, free_slabs = 0, first = slab_count;
		uma_slab_t slab;

		LIST_FOREACH(slab, &dom->ud_part_slab, us_link)
			check_slab(keg, slab, domain, 1, keg->uk_ipers - 1U);
		LIST_FOREACH(slab, &dom->ud_free_slab, us_link) {
			check_slab(keg, slab, domain, keg->uk_ipers, keg->uk_ipers);
			free_slabs++;
		}
		LIST_FOREACH(slab, &dom->ud_full_slab, us_link)
			check_slab(keg, slab, domain, 0, 0);
		if (slab_count == SLABS_MAX)
			return;
		for (unsigned i = first; i < slab_count; i++)
			items += slabs[i].slab->us_freecount;
		if (dom->ud_free_items != items || dom->ud_free_slabs != free_slabs ||
		    dom->ud_pages != (slab_count - first) * keg->uk_ppera)
			zones_broken("keg-counters",
			    "domain %d counts %u free items, %u free slabs and %u pages, and has "
			    "%u, %u and %u", domain, dom->ud_free_items, dom->ud_free_slabs,
			    dom->ud_pages, items, free_slabs,
			    (slab_count - first) * keg->uk_ppera);
	}
	sort_slabs();
}

/* --- items ---------------------------------------------------------------- */

/* The slab that begins at an address or last before it; NULL: there is none. */
static struct seen *
slab_below(const char *item)
{
	unsigned low = 0, high = slab_count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (slabs[middle].data <= item)
			low = middle + 1;
		else
			high = middle;
	}
	return (low > 0 ? &slabs[low - 1] : NULL);
}


static void
see_pool_item(unsigned number, const void *item)
{
	size_t place;

	if (!pool_has_given(number, item)) {
		zones_broken("item-of-no-slab", "an item was not imported");
		return;
	}
	place = pool_place(number, item);
	if (pool_seen[number][place]++ > 0)
		zones_broken("item-twice", "an item is in two places");
}

/* An item that a zone caches, or that is held: of one of the keg's slabs, and not free there. */
static void
see_item(unsigned number, const char *item)
{
	uma_keg_t keg = zones[number].zone->uz_keg;
	struct seen *each;
	size_t offset, index;

	items_seen++;
	if ((zones[number].kind & KIND_CACHE) != 0) {
		see_pool_item(number, item);
		return;
	}
	each = slab_below(item);
	offset = each != NULL ? (size_t)(item - each->data) : 0;
	index = offset / keg->uk_rsize;
	if (each != NULL && index < keg->uk_ipers) {
		if (offset % keg->uk_rsize != 0)
			zones_broken("item-of-no-slab", "an item begins in the middle of another");
		if (BIT_ISSET(keg->uk_ipers, index, &each->slab->us_free))
			zones_broken("item-free", "an item that is cached or held is free in its slab");
		if ((each->seen[index / 64] >> index % 64 & 1) != 0)
			zones_broken("item-twice", "an item is in two places");
		each->seen[index / 64] |= 1UL << index % 64;
		return;
	}
	if (slab_count < SLABS_MAX)
		zones_broken("item-of-no-slab", "an item lies in no slab of its zone");
}

static unsigned
see_bucket(unsigned number, uma_bucket_t bucket, int count, int entries)
{
	if (bucket == NULL)
		return (0);
	if (count < 0 || count > entries || entries > bucket->ub_entries) {
		zones_broken("bucket-overfull", "a bucket of %d entries holds %d items", entries,
		    count);
		return (0);
	}
	for (int i = 0; i < count; i++)
		see_item(number, bucket->ub_bucket[i]);
	return ((unsigned)count);
}

static unsigned
see_cache(unsigned number, const struct uma_cache_bucket *cached)
{
	return (see_bucket(number, cached->ucb_bucket, cached->ucb_cnt, cached->ucb_entries));
}

/* Items that the zone caches. */
static unsigned
see_cached(unsigned number)
{
	uma_zone_t zone = zones[number].zone;
	unsigned cached = 0;
	uma_bucket_t bucket;

	unfinished = 0;

	for (unsigned cpu = 0; cpu <= mp_maxid; cpu++) {
		cached += see_cache(number, &zone->uz_cpu[cpu].uc_allocbucket);
		unfinished += see_cache(number, &zone->uz_cpu[cpu].uc_freebucket);
		unfinished += see_cache(number, &zone->uz_cpu[cpu].uc_crossbucket);
	}
	cached += unfinished;
	for (int domain = 0; domain < vm_ndomains; domain++) {
		uma_zone_domain_t zdom = ZDOM_GET(zone, domain);
		unsigned there = 0;

		STAILQ_FOREACH(bucket, &zdom->uzd_buckets, ub_link) {
			unsigned count = see_bucket(number, bucket, bucket->ub_cnt,
			    bucket->ub_entries);

			there += count;
			unfinished += bucket->ub_seq != SMR_SEQ_INVALID ? count : 0;
		}
		if (there != zdom->uzd_nitems)
			zones_broken("cache-count", "domain %d's bucket cache counts %ld items, "
			    "and has %u", domain, zdom->uzd_nitems, there);
		cached += there;
		if ((bucket = zdom->uzd_cross) != NULL) {
			unsigned count = see_bucket(number, bucket, bucket->ub_cnt,
			    bucket->ub_entries);

			cached += count;
			unfinished += count;
		}
	}
	return (cached);
}

static unsigned
see_held(unsigned number)
{
	unsigned held = 0;

	for (unsigned slot = 0; slot < ZONES_SLOTS; slot++)
		if (zones_item[slot] != NULL && zones_item_zone[slot] == number) {
			see_item(number, zones_item[slot]);
			held++;
		}
	return (held);
}

/* --- zones ---------------------------------------------------------------- */

static void
check_callbacks(unsigned number, unsigned cached, unsigned held)
{
	unsigned kind = zones[number].kind;

	if ((kind & KIND_ZINIT) != 0 && memory_initialized(number) != (long)(cached + held))
		zones_broken("init-count", "%ld items are initialized by the zone, %u are in it",
		    memory_initialized(number), cached + held);
	/* Of an SMR zone the destructor is called when no reader can have the item any more. */
	if ((kind & KIND_SMR) != 0)
		held += unfinished;
	if ((kind & KIND_CTOR) != 0 && memory_constructed(number) != (long)held)
		zones_broken("ctor-count", "%ld items are constructed, %u are in use",
		    memory_constructed(number), held);
}

static void
check_counts(unsigned number, unsigned cached, unsigned held)
{
	const struct zones_zone *each = &zones[number];
	uma_zone_t zone = each->zone;
	uint64_t items = UZ_ITEMS_COUNT(zone->uz_items);

	if (zone->uz_bucket_size > zone->uz_bucket_size_max)
		zones_broken("bucket-size", "buckets are of %u items, and of %u at most",
		    zone->uz_bucket_size, zone->uz_bucket_size_max);
	if ((each->kind & KIND_NOBUCKET) != 0 && cached > 0)
		zones_broken("nobucket-caches", "a zone without buckets caches %u items", cached);
	if (uma_zone_get_cur(zone) != (int)held)
		zones_broken("current-count", "uma_zone_get_cur() is %d, %u items are in use",
		    uma_zone_get_cur(zone), held);
	if (uma_zone_get_smr(zone) != zone->uz_smr ||
	    (uint64_t)uma_zone_get_max(zone) != zone->uz_max_items)
		zones_broken("zone-told", "the zone's context of smr(9) or its limit is another one");
	if (uma_zone_exhausted(zone) != 0 || zone->uz_sleepers != 0 || UZ_ITEMS_SLEEPERS(zone->uz_items) != 0)
		zones_broken("sleepers-count", "%u and %u threads wait at the limit, and nobody does",
		    zone->uz_sleepers, (unsigned)UZ_ITEMS_SLEEPERS(zone->uz_items));
	if (each->limited && items != cached + held)
		zones_broken("limit-count", "%ju items count for the limit; %u are in use and %u "
		    "cached", (uintmax_t)items, held, cached);
	if (each->limited && !each->lowered && cached + held > zone->uz_max_items)
		zones_broken("over-limit", "%u items of %ju", cached + held,
		    (uintmax_t)zone->uz_max_items);
	if (each->maxcache >= 0 && cached > (unsigned long)each->maxcache)
		zones_broken("over-maxcache", "%u items are cached, %ld may be", cached,
		    each->maxcache);
}

static void
check_zone(unsigned number)
{
	unsigned cached = see_cached(number), held = see_held(number);

	if (!zones_are_broken()) {
		check_counts(number, cached, held);
		check_callbacks(number, cached, held);
	}
}

/* All zones of a keg together: no item is lost. */
static void
check_keg(unsigned primary)
{
	uma_keg_t keg = zones[primary].zone->uz_keg;
	unsigned taken = 0;

	if (uma_zone_memory(zones[primary].zone) != (size_t)own_keg_pages(keg) * PAGE_SIZE)
		zones_broken("memory-count", "uma_zone_memory() is %zu, slabs have %u pages",
		    uma_zone_memory(zones[primary].zone), own_keg_pages(keg));
	if (keg->uk_kva != 0 && keg->uk_offset > zones[primary].reserved)
		zones_broken("kva-exceeded", "%lu bytes are mapped at %lu of address space",
		    keg->uk_offset, zones[primary].reserved);
	walk_slabs(keg);
	for (unsigned number = 0; number < ZONES_MAX; number++)
		if (zones[number].zone != NULL && zones[number].primary == primary)
			check_zone(number);
	for (unsigned i = 0; i < slab_count; i++)
		taken += keg->uk_ipers - slabs[i].slab->us_freecount;
	if (slab_count < SLABS_MAX && taken != items_seen)
		zones_broken("items-lost", "%u items of slabs are taken, %u are cached or held", taken,
		    items_seen);
	if ((zones[primary].kind & KIND_INIT) != 0 && slab_count < SLABS_MAX &&
	    memory_keg_initialized(primary) != (long)slab_count * keg->uk_ipers)
		zones_broken("keg-init-count", "%ld items are initialized, slabs have %ld",
		    memory_keg_initialized(primary), (long)slab_count * keg->uk_ipers);
}

static void
check_pool(unsigned number)
{
	items_seen = 0;
	memset(pool_seen[number], 0, sizeof(pool_seen[number]));
	check_zone(number);
	if (pool_given(number) != items_seen)
		zones_broken("items-lost", "%u items are imported, %u are cached or held",
		    pool_given(number), items_seen);
}

void
check_at_rest(void)
{
	for (unsigned number = 0; number < ZONES_MAX && !zones_are_broken(); number++)
		if (zones[number].zone == NULL)
			continue;
		else if ((zones[number].kind & KIND_CACHE) != 0)
			check_pool(number);
		else if (zones[number].primary == number)
			check_keg(number);
}

/* Whether a zone of smr(9), of which there are no readers, has items of this zone's keg. */
static bool
of_smr(unsigned number)
{
	for (unsigned other = 0; other < ZONES_MAX; other++)
		if (zones[other].zone != NULL && zones[other].primary == zones[number].primary &&
		    (zones[other].kind & KIND_SMR) != 0)
			return (true);
	return (false);
}

/* Nothing is in use, and all zones were drained, per-CPU caches, too. */
void
check_drained(void)
{
	for (unsigned number = 0; number < ZONES_MAX && !zones_are_broken(); number++) {
		const struct zones_zone *each = &zones[number];
		uma_keg_t keg = each->zone != NULL ? each->zone->uz_keg : NULL;

		if (keg == NULL || (each->kind & KIND_NOFREE) != 0)
			continue;
		for (int domain = 0; domain < vm_ndomains; domain++) {
			unsigned kept = keg->uk_domain[domain].ud_pages / keg->uk_ppera;

			if (kept > howmany(keg->uk_reserve, keg->uk_ipers))
				zones_broken(of_smr(number) ? "smr-drain-leaves" : "drain-leaves",
				    "domain %d keeps %u slabs for a reserve of %u items", domain,
				    kept, keg->uk_reserve);
		}
	}
}
