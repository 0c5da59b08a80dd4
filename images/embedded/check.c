/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The other end of "harness check": the zone that a trace is about, and its slab
 * allocator.  harness/subsystems/uma/c calls them; its zone.c does the same on
 * FreeBSD.
 */

#include "channel.h"
#include "check.h"
#include "keg.h"
#include "malloc_flags.h"
#include "numa.h"
#include "pmap.h"
#include "pool.h"
#include "zone_trace.h"

#define SLABS_MAX	2048	/* at a time, in all domains */

_Static_assert(SLABS_MAX < KVA_SIZE / PAGE_SIZE, "there are addresses for all slabs");

static struct uma_keg *zone;

static unsigned slab_number[KVA_SIZE / PAGE_SIZE];	/* by the slab's place in the window */
static unsigned slabs_made;

/* --- the memory below the zone ------------------------------------------ */

static unsigned *
number_of(const void *item)
{
	return (&slab_number[((uintptr_t)item - VM_MIN_KERNEL_ADDRESS) / PAGE_SIZE]);
}

/* Memory of exactly that domain; without the commit, nothing else ends some operations. */
static void *
slabs_alloc(struct uma_keg *keg, int domain, int flags)
{
	void *slab;

	(void)keg;
	if (!trace_asks(domain))
		return (NULL);
	slab = vm_page_alloc_domain(domain, flags);
	if (slab != NULL)
		*number_of(slab) = slabs_made++;
	return (slab);
}

void
memory_low(int domain, bool low)
{
	vm_page_low_domain(domain, low);
}

void
memory_recover(void)
{
	for (int domain = 0; domain < vm_ndomains; domain++)
		vm_page_low_domain(domain, false);
}

/* --- the zone ----------------------------------------------------------- */

const char *
probe_guest(void)
{
	return ("embedded");
}

int
probe_domains(void)
{
	return (vm_ndomains);
}

int
probe_cpus(void)
{
	return (mp_ncpus);
}

bool
zone_exists(void)
{
	return (zone != NULL);
}

bool
zone_is_first_touch(void)
{
	return (zone != NULL && (zone->uk_flags & UMA_ZONE_ROUNDROBIN) == 0);
}

/* Pages are few: its own are used again. */
const char *
zone_leave(const struct zone_order *next)
{
	if ((next->flags & ZONE_IS_HASHED) != 0)
		return ("not-hashed");
	trace_discard();
	return (NULL);
}

const char *
zone_make(const struct zone_order *order, unsigned *ipers)
{
	uint32_t flags = UMA_ZONE_VM;	/* FreeBSD's layout with the sanitizer, too */

	if ((order->flags & ZONE_IS_ROUNDROBIN) != 0)
		flags |= UMA_ZONE_ROUNDROBIN;
	slabs_made = 0;
	zone = uma_zcreate("harness check", (uint32_t)order->size, flags);
	if (zone == NULL)
		return ("slab-of-several-pages");
	uma_zone_set_allocf(zone, slabs_alloc);
	uma_zone_reserve(zone, (uint32_t)order->reserve);
	*ipers = zone->uk_ipers;
	return (NULL);
}

void
zone_destroy(void)
{
	uma_zdestroy(zone);
	zone = NULL;
}

unsigned
zone_place(void)
{
	return (zone != NULL ? zone->uk_iter : 0);
}

static unsigned
length_of(const struct uma_slab *slab)
{
	unsigned length = 0;

	for (; slab != NULL; slab = slab->us_next)
		length++;
	return (length);
}

void
zone_count(int domain, struct zone_counters *counters)
{
	const struct uma_domain *dom;

	if (zone == NULL)
		return;
	dom = &zone->uk_domain[domain];
	*counters = (struct zone_counters) {
		.pages = dom->ud_pages,
		.free_items = dom->ud_free_items,
		.free_slabs = dom->ud_free_slabs,
		.in_part_list = length_of(dom->ud_part_slab),
		.in_free_list = length_of(dom->ud_free_slab),
		.in_full_list = length_of(dom->ud_full_slab),
	};
}

/* --- the operations ----------------------------------------------------- */

const char *
zone_refuses(unsigned items, int flags)
{
	unsigned pages = 0;

	(void)flags;
	for (int domain = 0; domain < vm_ndomains; domain++)
		pages += zone->uk_domain[domain].ud_pages;
	return (howmany(items, zone->uk_ipers) <= SLABS_MAX - pages ? NULL : "too-many-slabs");
}

/* One CPU runs; during an operation it counts as of that one's domain. */
unsigned
zone_run(int cpu, bool waits, void (*function)(void *), void *argument)
{
	unsigned slept_before = vm_sleeps();

	(void)waits;
	pcpu_domain = cpus[cpu].domain;
	function(argument);
	return (vm_sleeps() - slept_before);
}

void *
zone_alloc(int domain, int flags)
{
	if (domain == TRACE_BY_CPU)
		return (uma_zalloc(zone, flags));
	return (uma_zalloc_domain(zone, domain, flags));
}

void
zone_free(void *item)
{
	uma_zfree(zone, item);
}

void
zone_prealloc(unsigned items)
{
	uma_prealloc(zone, items);
}

void
zone_drain(int domain)
{
	keg_drain_domain(zone, domain);
}

const char *
zone_find(const void *item, struct zone_outcome *outcome)
{
	outcome->domain = vm_phys_domain(pmap_kextract(item));
	outcome->slab = *number_of(item);
	outcome->index = (unsigned)((uintptr_t)item % PAGE_SIZE / zone->uk_rsize);
	return (NULL);
}

/* That takes a second thread, which sees the first one sleep. */
const char *
zone_starve(int domain, int cpu, unsigned milliseconds, struct zone_starved *starved)
{
	(void)domain, (void)cpu, (void)milliseconds, (void)starved;
	return ("not-here");
}

void
check_init(void)
{
	channel_offer("harness.check", zone_obey);
}
