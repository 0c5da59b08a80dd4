/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * What UMA uses itself for a trace's zones, such as kegs, headers of slabs and
 * contexts of smr(9), comes from zones, too: when the trace's are destroyed, it
 * is back in them.  UMA keeps its list of kegs to itself, with the newest first:
 * the older ones are found from a keg that is there for that alone.
 */

#include "zones.h"

#include <sys/counter.h>
#include <sys/domainset.h>
#include <sys/smp.h>
#include <sys/vmmeter.h>

#define OWN_MAX		64	/* zones that are looked at */
#define BEACON_SIZE	64

static uma_zone_t beacon;
static struct {
	uma_zone_t	zone;
	int		in_use;
} own[OWN_MAX];
static unsigned own_count;

/* As uma_zone_get_cur(), which takes what was handed out before there were counters for 0. */
static int
handed_out(uma_zone_t zone)
{
	int64_t count = (int64_t)(counter_u64_fetch(zone->uz_allocs) -
	    counter_u64_fetch(zone->uz_frees));

	for (unsigned cpu = 0; cpu <= mp_maxid; cpu++)
		count += (int64_t)(zone->uz_cpu[cpu].uc_allocs - zone->uz_cpu[cpu].uc_frees);
	return ((int)count);
}

/* --- buckets and headers of all zones, where nothing else changes them ------ */

static unsigned
buckets_of_cache(const struct uma_cache *cache)
{
	return ((cache->uc_allocbucket.ucb_bucket != NULL) +
	    (cache->uc_freebucket.ucb_bucket != NULL) + (cache->uc_crossbucket.ucb_bucket != NULL));
}

static unsigned
buckets_of(uma_zone_t zone)
{
	unsigned count = 0;
	uma_bucket_t bucket;

	for (unsigned cpu = 0; cpu <= mp_maxid; cpu++)
		count += buckets_of_cache(&zone->uz_cpu[cpu]);
	for (int domain = 0; domain < vm_ndomains; domain++) {
		STAILQ_FOREACH(bucket, &ZDOM_GET(zone, domain)->uzd_buckets, ub_link)
			count++;
		count += ZDOM_GET(zone, domain)->uzd_cross != NULL;
	}
	return (count);
}

unsigned
own_keg_pages(uma_keg_t keg)
{
	unsigned pages = 0;

	for (int domain = 0; domain < vm_ndomains; domain++)
		pages += keg->uk_domain[domain].ud_pages;
	return (pages);
}

static unsigned
headers_of(uma_keg_t keg)
{
	return ((keg->uk_flags & UMA_ZFLAG_OFFPAGE) != 0 ? own_keg_pages(keg) / keg->uk_ppera : 0);
}

/*
 * How many more buckets and headers are used than their zones have handed out.
 * Those of before there were counters make it another number than 0, but always
 * the same.
 */
static struct loans {
	int	buckets, headers;
	long	bytes;		/* of slabs, and not in uma_size() */
	long	pages;		/* of no slab */
} at_start;

long
own_pages(uma_zone_t zone)
{
	long pages = 0;
	uma_keg_t keg;

	for (keg = beacon->uz_keg; keg != NULL; keg = LIST_NEXT(keg, uk_link))
		if ((zone->uz_flags & UMA_ZFLAG_CACHE) != 0 || keg != zone->uz_keg)
			pages += own_keg_pages(keg);
	return (pages);
}

static struct loans
loans(void)
{
	struct loans more = { .bytes = -(long)uma_size(),
	    .pages = zones_pages_used() - pool_pages() };
	uma_keg_t keg;
	uma_zone_t zone;

	for (keg = beacon->uz_keg; keg != NULL; keg = LIST_NEXT(keg, uk_link)) {
		more.headers += (int)headers_of(keg);
		more.bytes += (long)own_keg_pages(keg) * PAGE_SIZE;
		more.pages -= own_keg_pages(keg);
		LIST_FOREACH(zone, &keg->uk_zones, uz_link) {
			more.buckets += (int)buckets_of(zone);
			if ((zone->uz_flags & UMA_ZFLAG_BUCKET) != 0)
				more.buckets -= handed_out(zone);
			else if (strncmp(zone->uz_name, "UMA Slabs", 9) == 0)
				more.headers -= handed_out(zone);
		}
	}
	return (more);
}

static void
check_loans(bool with_headers)
{
	struct loans now = loans();

	if (now.buckets != at_start.buckets)
		zones_broken("buckets-lost", "%d buckets are in use and in no cache",
		    at_start.buckets - now.buckets);
	if (with_headers && now.bytes != at_start.bytes)
		zones_broken("size-count", "uma_size() is %ld bytes too large",
		    at_start.bytes - now.bytes);
	if (with_headers && now.pages != at_start.pages)
		zones_broken("pages-lost", "%ld more pages are of no slab",
		    now.pages - at_start.pages);
	if (with_headers && now.headers != at_start.headers)
		zones_broken("headers-lost", "%d headers are in use and no slab's",
		    at_start.headers - now.headers);
}

/* --- what buckets are allocated and freed with ----------------------------- */

/* Flags of a zone that a bucket is of, or nothing: never the argument of who uses that zone. */
static void
check_argument(const void *argument)
{
	for (unsigned number = 0; number < ZONES_MAX; number++)
		if (argument == &zones_cookies[number])
			zones_broken("own-argument", "a bucket is allocated or freed with the "
			    "argument of a caller");
}

static int
see_bucket_allocated(void *bucket __unused, int size __unused, void *argument, int flags __unused)
{
	check_argument(argument);
	return (0);
}

static void
see_bucket_freed(void *bucket __unused, int size __unused, void *argument)
{
	check_argument(argument);
}

/* With INVARIANTS zones of buckets have a constructor of UMA's own, and may have another. */
static void
watch_buckets(void)
{
	uma_keg_t keg;
	uma_zone_t zone;

	for (keg = beacon->uz_keg; keg != NULL; keg = LIST_NEXT(keg, uk_link))
		LIST_FOREACH(zone, &keg->uk_zones, uz_link)
			if ((zone->uz_flags & UMA_ZFLAG_BUCKET) != 0 &&
			    (zone->uz_flags & UMA_ZFLAG_CTORDTOR) != 0) {
				zone->uz_ctor = see_bucket_allocated;
				zone->uz_dtor = see_bucket_freed;
			}
}

void
own_start(void)
{
	uma_keg_t keg;
	uma_zone_t zone;

	if (beacon == NULL) {
		beacon = uma_zcreate("harness beacon", BEACON_SIZE, NULL, NULL, NULL, NULL,
		    UMA_ALIGN_PTR, 0);
		if (zones_are_alone())
			watch_buckets();
	}
	own_count = 0;
	for (keg = beacon->uz_keg; keg != NULL; keg = LIST_NEXT(keg, uk_link))
		LIST_FOREACH(zone, &keg->uk_zones, uz_link)
			if (own_count < OWN_MAX && zones_only_uma_uses(zone)) {
				own[own_count].zone = zone;
				own[own_count++].in_use = handed_out(zone);
			}
	if (zones_are_alone())
		at_start = loans();
}

/* All zones of the trace are destroyed; some may have left their pages, as they may. */
void
own_check(bool keeps_pages)
{
	if (zones_are_alone())
		check_loans(!keeps_pages);
	for (unsigned i = 0; i < own_count && !keeps_pages; i++) {
		int in_use = handed_out(own[i].zone);

		if (in_use != own[i].in_use)
			zones_broken("own-items", "%s has %d items in use, and had %d",
			    own[i].zone->uz_name, in_use, own[i].in_use);
	}
}
