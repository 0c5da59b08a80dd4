/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* What is drained, trimmed or left alone when memory is wanted back. */

#include "zones.h"

#include <sys/domainset.h>
#include <sys/smp.h>
#include <sys/vmmeter.h>

static const int requests[] = { UMA_RECLAIM_TRIM, UMA_RECLAIM_DRAIN, UMA_RECLAIM_DRAIN_CPU };

static int
request_of(const struct zones_operation *operation)
{
	return (requests[operation->number % 3]);
}

static int
domain_of(const struct zones_operation *operation)
{
	return (operation->domain < 0 ? UMA_ANYDOMAIN : (int)operation->domain);
}

/* What the system's want of memory may not change. */
struct cache_state {
	uint64_t	cached;		/* in CPUs' caches */
	long		in_domains;
	uint16_t	bucket_size;
};

static unsigned
in_caches(const struct uma_cache *cache)
{
	return ((unsigned)(cache->uc_allocbucket.ucb_cnt + cache->uc_freebucket.ucb_cnt +
	    cache->uc_crossbucket.ucb_cnt));
}

static struct cache_state
state_of(uma_zone_t zone)
{
	struct cache_state state = { .bucket_size = zone->uz_bucket_size };

	for (unsigned cpu = 0; cpu <= mp_maxid; cpu++)
		state.cached += in_caches(&zone->uz_cpu[cpu]);
	for (int domain = 0; domain < vm_ndomains; domain++)
		state.in_domains += ZDOM_GET(zone, domain)->uzd_nitems;
	return (state);
}

static void
check_kept(const struct zones_zone *each, const struct cache_state *was, int request)
{
	struct cache_state now = state_of(each->zone);

	if ((each->kind & KIND_UNMANAGED) != 0 && (now.cached != was->cached ||
	    now.in_domains != was->in_domains || now.bucket_size != was->bucket_size))
		zones_broken("unmanaged-reclaimed", "a zone with UMA_ZONE_UNMANAGED had %ju items in "
		    "CPUs' caches and buckets of %u, and has %ju and %u",
		    (uintmax_t)was->cached, was->bucket_size, (uintmax_t)now.cached,
		    now.bucket_size);
	if ((each->kind & KIND_NOTRIM) != 0 && request == UMA_RECLAIM_TRIM &&
	    (now.cached != was->cached || now.in_domains != was->in_domains))
		zones_broken("notrim-trimmed", "a zone with UMA_ZONE_NOTRIM cached %ld items, and "
		    "caches %ld", was->in_domains, now.in_domains);
}

/* Free slabs of a domain, which a drained keg keeps for its reserve alone. */
static void
check_slabs(const struct zones_zone *each, int domain)
{
	uma_keg_t keg = each->zone->uz_keg;

	if ((each->kind & (KIND_CACHE | KIND_NOFREE)) == 0 &&
	    keg->uk_domain[domain].ud_free_slabs > howmany(keg->uk_reserve, keg->uk_ipers))
		zones_broken("drain-keeps", "domain %d is drained, and keeps %u free slabs for a "
		    "reserve of %u items", domain, keg->uk_domain[domain].ud_free_slabs,
		    keg->uk_reserve);
}

/* What is drained is empty; only readers of smr(9) keep what they may look at. */
static void
check_emptied(const struct zones_zone *each, int request, int domain)
{
	if (request == UMA_RECLAIM_TRIM || (each->kind & KIND_SMR) != 0 || memory_was_interrupted())
		return;
	for (int d = 0; d < vm_ndomains; d++) {
		uma_zone_domain_t zdom = ZDOM_GET(each->zone, d);

		if (domain != UMA_ANYDOMAIN && d != domain && (each->kind & KIND_ROUNDROBIN) == 0)
			continue;
		if (zdom->uzd_nitems != 0 || zdom->uzd_cross != NULL)
			zones_broken("drain-keeps", "domain %d is drained, and its bucket cache has "
			    "%ld items", d, zdom->uzd_nitems);
		if (domain == UMA_ANYDOMAIN || d == domain)
			check_slabs(each, d);
	}
	for (unsigned cpu = 0; request == UMA_RECLAIM_DRAIN_CPU && cpu <= mp_maxid; cpu++)
		if (in_caches(&each->zone->uz_cpu[cpu]) != 0)
			zones_broken("drain-keeps", "all CPUs' caches are drained, and CPU %u's has %u "
			    "items", cpu, in_caches(&each->zone->uz_cpu[cpu]));
}

void
reclaim_zone(const struct zones_operation *operation)
{
	const struct zones_zone *each = &zones[operation->zone];

	uma_zone_reclaim_domain(each->zone, request_of(operation), domain_of(operation));
	check_emptied(each, request_of(operation), domain_of(operation));
}

void
reclaim_all(const struct zones_operation *operation)
{
	struct cache_state was[ZONES_MAX];

	for (unsigned number = 0; number < ZONES_MAX; number++)
		if (zones[number].zone != NULL)
			was[number] = state_of(zones[number].zone);
	uma_reclaim_domain(request_of(operation), domain_of(operation));
	for (unsigned number = 0; number < ZONES_MAX; number++)
		if (zones[number].zone == NULL || memory_was_interrupted())
			continue;
		else {
			check_kept(&zones[number], &was[number], request_of(operation));
			if ((zones[number].kind & KIND_UNMANAGED) == 0)
				check_emptied(&zones[number], request_of(operation),
				    domain_of(operation));
		}
}
