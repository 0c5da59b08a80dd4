/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* What an allocation is held to by itself: by what was there before, and is afterwards. */

#include "zones.h"

#include <sys/domainset.h>
#include <sys/counter.h>
#include <sys/lock.h>
#include <sys/malloc.h>
#include <sys/mutex.h>
#include <sys/pcpu.h>
#include <sys/proc.h>
#include <sys/smp.h>
#include <sys/smr.h>
#include <sys/vmmeter.h>

#include <vm/pmap.h>
#include <vm/vm_pagequeue.h>
#include <vm/vm_phys.h>

static int
cpu_domain(void)
{
	return (PCPU_GET(domain));
}

static bool
takes_no_pages(const struct zones_operation *operation, const struct zones_zone *each)
{
	return ((operation->flags & M_NOVM) != 0 || (each->kind & KIND_VM) != 0);
}

struct zones_before
allocation_begin(const struct zones_operation *operation, const struct zones_zone *each)
{
	const struct uma_cache *cache = &each->zone->uz_cpu[zones_cpu()];
	struct zones_before was = { .had = cache->uc_allocbucket.ucb_bucket,
	    .had_free = cache->uc_freebucket.ucb_cnt > 0, .bucket_size = each->zone->uz_bucket_size,
	    .fails = counter_u64_fetch(each->zone->uz_fails) };

	for (int domain = 0; domain < vm_ndomains; domain++)
		was.first[domain] = STAILQ_FIRST(&ZDOM_GET(each->zone, domain)->uzd_buckets);
	if ((each->kind & KIND_CACHE) == 0)
		for (int domain = 0; domain < vm_ndomains; domain++)
			was.free_items[domain] =
			    each->zone->uz_keg->uk_domain[domain].ud_free_items;
	if (zones_are_alone() && takes_no_pages(operation, each))
		was.others = own_pages(each->zone);
	return (was);
}

/* What the reserve is for is left alone by those who do not ask for it. */
static void
check_reserve(const struct zones_zone *each, const struct zones_before *was)
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
check_cached_domain(const struct zones_zone *each, const struct zones_before *was, const void *item)
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
was_cached(const struct zones_before *was, uma_bucket_t bucket)
{
	for (int domain = 0; domain < vm_ndomains; domain++)
		if (was->first[domain] == bucket)
			return (true);
	return (false);
}

/* Without a reserve, and where nothing was short, a bucket is filled (zone_import()). */
static void
check_filled(const struct zones_operation *operation, const struct zones_zone *each,
    const struct zones_before *was)
{
	const struct uma_cache_bucket *now = &each->zone->uz_cpu[zones_cpu()].uc_allocbucket;

	if ((operation->flags & M_NOVM) != 0 || now->ucb_bucket == NULL || now->ucb_bucket == was->had ||
	    was_cached(was, now->ucb_bucket) ||
	    (each->kind & KIND_CACHE) != 0 || each->zone->uz_keg->uk_reserve > 0 ||
	    memory_was_refused() || memory_has_failed() || memory_was_interrupted() ||
	    each->zone->uz_max_items > 0 || each->zone->uz_bucket_size != was->bucket_size)
		return;
	if (now->ucb_cnt + 1 < MIN(now->ucb_entries, was->bucket_size))
		zones_broken("bucket-not-filled", "a fresh bucket has %d of %d items", now->ucb_cnt + 1,
		    MIN(now->ucb_entries, was->bucket_size));
}

/* What only one allocation at a time says something about. */
static void
check_alone(const struct zones_operation *operation, const struct zones_zone *each,
    const struct zones_before *was, const void *item)
{
	uint64_t fails = counter_u64_fetch(each->zone->uz_fails) - was->fails;

	if (memory_was_interrupted())
		return;
	if (fails != (item == NULL))
		zones_broken("fails-count", "an allocation %s, and %ju count as failed",
		    item == NULL ? "fails" : "succeeds", (uintmax_t)fails);
	if (zones_are_alone() && takes_no_pages(operation, each) &&
	    own_pages(each->zone) > was->others)
		zones_broken("pages-without-vm", "an allocation that may not use the VM takes pages "
		    "for other zones");
}

/* A first-touch zone hands out items of the domain that is asked for, while there are any. */
static void
check_asked_domain(const struct zones_operation *operation, const struct zones_zone *each,
    const void *item)
{
	int real;

	if ((operation->flags & M_USE_RESERVE) != 0 || memory_was_interrupted() ||
	    VM_DOMAIN_EMPTY((int)operation->domain) ||
	    (each->kind & (KIND_CACHE | KIND_PCPU | KIND_ROUNDROBIN | KIND_HASHED)) != 0)
		return;
	real = vm_phys_domain(vtophys(item));
	if (real != operation->domain)
		zones_broken("asked-domain", "domain %ld is asked for an item, which is of domain %d",
		    operation->domain, real);
}

/* What holds for an allocation that has ended, with an item or without. */
void
allocation_check(const struct zones_operation *operation, const struct zones_zone *each,
    const struct zones_before *was, const void *item)
{
	if (item == NULL && (operation->flags & M_WAITOK) != 0 && !memory_has_failed_above() &&
	    ((each->kind & KIND_CACHE) == 0 || !memory_was_refused()))
		zones_broken("waitok-null", "an allocation that may wait gets nothing");
	if ((operation->flags & M_USE_RESERVE) == 0)
		check_reserve(each, was);
	check_alone(operation, each, was, item);
	if (item != NULL && operation->domain != ZONES_BY_CPU)
		check_asked_domain(operation, each, item);
	if (item == NULL || operation->domain != ZONES_BY_CPU || was->had_free)
		return;
	check_cached_domain(each, was, item);
	check_filled(operation, each, was);
}
