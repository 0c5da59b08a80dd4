/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* The zone that a trace is about, by the kernel's own functions; zone_trace.c calls them. */

#include "zone.h"

#include <sys/domainset.h>
#include <sys/kernel.h>
#include <sys/malloc.h>
#include <sys/pcpu.h>
#include <sys/smp.h>
#include <sys/vmmeter.h>

#include <vm/vm.h>
#include <vm/vm_param.h>
#include <vm/pmap.h>
#include <vm/vm_page.h>
#include <vm/vm_phys.h>
#include <vm/uma_int.h>

static uma_zone_t zone;

bool
zone_exists(void)
{
	return (zone != NULL);
}

bool
zone_is_first_touch(void)
{
	return (zone != NULL && (zone->uz_flags & UMA_ZONE_FIRSTTOUCH) != 0);
}

/*
 * It stays as it is: a trace that found something wrong may have left it in no
 * state to be destroyed.
 */
const char *
zone_leave(const struct zone_order *next __unused)
{
	zone = NULL;
	return (NULL);
}

const char *
zone_make(const struct zone_order *order, unsigned *ipers)
{
	uint32_t flags = UMA_ZONE_NOBUCKET;
	uma_keg_t keg;

	flags |= (order->flags & ZONE_IS_ROUNDROBIN) != 0 ? UMA_ZONE_ROUNDROBIN : UMA_ZONE_FIRSTTOUCH;
	if ((order->flags & ZONE_IS_HASHED) != 0)
		flags |= UMA_ZONE_NOTPAGE | UMA_ZONE_NOTOUCH;
	slabs_reset();
	zone = uma_zcreate("harness check", (size_t)order->size, NULL, NULL, NULL, NULL,
	    UMA_ALIGN_PTR, flags);
	keg = zone->uz_keg;
	/* With headers elsewhere, their zone would have a say in what happens here. */
	if ((order->flags & ZONE_IS_HASHED) == 0 && (keg->uk_flags & UMA_ZFLAG_OFFPAGE) != 0)
		return ("slab-header-does-not-fit");
	if ((order->flags & ZONE_IS_HASHED) != 0 && (keg->uk_flags & UMA_ZFLAG_HASH) == 0)
		return ("not-hashed");
	if (keg->uk_ppera != 1)
		return ("slab-of-several-pages");
	uma_zone_set_allocf(zone, slabs_alloc);
	uma_zone_set_freef(zone, slabs_free);
	if (order->reserve > 0)
		uma_zone_reserve(zone, (int)order->reserve);
	*ipers = keg->uk_ipers;
	return (NULL);
}

void
zone_destroy(void)
{
	uma_zdestroy(zone);
	zone = NULL;
}

const char *
zone_refuses(unsigned items __unused, int flags)
{
	/* The headers' zone has a stock allocator: malloc2vm_flags() asserts. */
	if ((zone->uz_flags & UMA_ZFLAG_HASH) != 0 && (flags & M_USE_RESERVE) != 0 &&
	    (flags & M_NOWAIT) == 0)
		return ("reserve-without-nowait");
	return (NULL);
}

/* Who may sleep for memory does so in a thread of its own, which is woken. */
unsigned
zone_run(int cpu, bool waits, void (*function)(void *), void *argument)
{
	if (waits)
		return (worker_run(cpu, function, argument));
	run_on(cpu, function, argument);
	return (0);
}

void *
zone_alloc(int domain, int flags)
{
	if (domain == TRACE_BY_CPU)
		return (uma_zalloc(zone, flags));
	return (uma_zalloc_domain(zone, NULL, domain, flags));
}

void
zone_free(void *item)
{
	uma_zfree(zone, item);
}

void
zone_prealloc(unsigned items)
{
	uma_prealloc(zone, (int)items);
}

void
zone_drain(int domain)
{
	uma_zone_reclaim_domain(zone, UMA_RECLAIM_DRAIN, domain);
}

const char *
zone_find(const void *item, struct zone_outcome *outcome)
{
	size_t offset;

	outcome->domain = vm_phys_domain(vtophys(item));
	if (slabs_find(item, &outcome->slab, &offset) != NULL)
		return ("item-of-no-slab");
	outcome->index = (unsigned)(offset / zone->uz_keg->uk_rsize);
	return (NULL);
}

unsigned
zone_place(void)
{
	return (zone != NULL ? zone->uz_keg->uk_dr.dr_iter : 0);
}

static unsigned
length_of(const struct slabhead *list)
{
	const struct uma_slab *slab;
	unsigned length = 0;

	LIST_FOREACH(slab, list, us_link)
		length++;
	return (length);
}

void
zone_count(int domain, struct zone_counters *counters)
{
	const struct uma_domain *dom;

	if (zone == NULL)
		return;
	dom = &zone->uz_keg->uk_domain[domain];
	*counters = (struct zone_counters) {
		.pages = dom->ud_pages / zone->uz_keg->uk_ppera,
		.free_items = dom->ud_free_items,
		.free_slabs = dom->ud_free_slabs,
		.in_part_list = length_of(&dom->ud_part_slab),
		.in_free_list = length_of(&dom->ud_free_slab),
		.in_full_list = length_of(&dom->ud_full_slab),
	};
}

static void
register_commands(void *unused __unused)
{
	probe_register(zone_obey);
}
SYSINIT(harness_zone, SI_SUB_DRIVERS, SI_ORDER_ANY, register_commands, NULL);
