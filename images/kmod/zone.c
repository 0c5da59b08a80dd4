/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* The zone that a trace is about, and the operations on it. */

#include "check.h"

#include <sys/domainset.h>
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

struct operation {
	void	*item;
	int	 domain;
	int	 flags;
};

static uma_zone_t zone;
static void *items[PROBE_SLOTS];
static int meanwhile;	/* the slot of the item to be freed during an allocation */

uma_zone_t
zone_now(void)
{
	return (zone);
}

bool
zone_is_first_touch(void)
{
	return (zone != NULL && (zone->uz_flags & UMA_ZONE_FIRSTTOUCH) != 0);
}

const char *
probe_guest(void)
{
	return ("freebsd");
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

/*
 * A fresh zone.  The one before is left as it is: a trace that found something
 * wrong may have left it in no state to be destroyed.
 */
const char *
probe_zone(const struct probe_order *order, unsigned *ipers)
{
	uint32_t flags = UMA_ZONE_NOBUCKET;
	uma_keg_t keg;

	flags |= (order->flags & PROBE_ROUNDROBIN) != 0 ? UMA_ZONE_ROUNDROBIN : UMA_ZONE_FIRSTTOUCH;
	if ((order->flags & PROBE_HASHED) != 0)
		flags |= UMA_ZONE_NOTPAGE | UMA_ZONE_NOTOUCH;
	memory_recover();
	memset(items, 0, sizeof(items));
	slabs_reset((unsigned)order->patience);
	zone = uma_zcreate("harness check", (size_t)order->size, NULL, NULL, NULL, NULL,
	    UMA_ALIGN_PTR, flags);
	keg = zone->uz_keg;
	/* With headers elsewhere, their zone would have a say in what happens here. */
	if ((order->flags & PROBE_HASHED) == 0 && (keg->uk_flags & UMA_ZFLAG_OFFPAGE) != 0)
		return ("slab-header-does-not-fit");
	if ((order->flags & PROBE_HASHED) != 0 && (keg->uk_flags & UMA_ZFLAG_HASH) == 0)
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

/* Gives everything back: for a zone that did nothing wrong. */
const char *
probe_discard(void)
{
	if (zone == NULL)
		return ("no-zone");
	for (unsigned slot = 0; slot < PROBE_SLOTS; slot++)
		if (items[slot] != NULL)
			uma_zfree(zone, items[slot]);
	memset(items, 0, sizeof(items));
	memory_recover();
	uma_zdestroy(zone);
	zone = NULL;
	return (NULL);
}

/* The slab allocator is called, without the keg's lock: what another CPU may do now. */
static void
free_meanwhile(void)
{
	uma_zfree(zone, items[meanwhile]);
	items[meanwhile] = NULL;
}

static void
run_alloc(void *argument)
{
	struct operation *operation = argument;

	if (operation->domain == PROBE_BY_CPU)
		operation->item = uma_zalloc(zone, operation->flags);
	else
		operation->item = uma_zalloc_domain(zone, NULL, operation->domain,
		    operation->flags);
}

const char *
probe_alloc(const struct probe_request *request, struct probe_outcome *outcome)
{
	struct operation operation = { .domain = request->domain, .flags = request->flags };
	int flags = request->flags;
	size_t offset;

	if (zone == NULL)
		return ("no-zone");
	if (items[request->slot] != NULL)
		return ("slot-is-taken");
	if (request->meanwhile != PROBE_NO_SLOT && items[request->meanwhile] == NULL)
		return ("no-such-item");
	if (request->domain != PROBE_BY_CPU && !zone_is_first_touch())
		return ("zone-chooses-the-domain");
	/* The headers' zone has a stock allocator: malloc2vm_flags() asserts. */
	if ((zone->uz_flags & UMA_ZFLAG_HASH) != 0 && (flags & M_USE_RESERVE) != 0 &&
	    (flags & M_NOWAIT) == 0)
		return ("reserve-without-nowait");
	meanwhile = request->meanwhile;
	slabs_begin(meanwhile == PROBE_NO_SLOT ? NULL : free_meanwhile);
	if ((flags & M_WAITOK) != 0)
		outcome->slept = worker_run(request->cpu, run_alloc, &operation);
	else
		run_on(request->cpu, run_alloc, &operation);
	slabs_log(outcome);
	items[request->slot] = operation.item;
	if (operation.item == NULL)
		return (NULL);
	outcome->item = true;
	outcome->domain = vm_phys_domain(vtophys(operation.item));
	if (slabs_find(operation.item, &outcome->slab, &offset) != NULL)
		return ("item-of-no-slab");
	outcome->index = (unsigned)(offset / zone->uz_keg->uk_rsize);
	return (NULL);
}

static void
run_free(void *argument)
{
	struct operation *operation = argument;

	uma_zfree(zone, operation->item);
}

const char *
probe_free(unsigned slot, int cpu, struct probe_outcome *outcome)
{
	struct operation operation = { .item = items[slot] };

	if (zone == NULL || operation.item == NULL)
		return ("no-such-item");
	items[slot] = NULL;
	slabs_begin(NULL);
	run_on(cpu, run_free, &operation);
	slabs_log(outcome);
	return (NULL);
}

static void
run_prealloc(void *argument)
{
	uma_prealloc(zone, *(int *)argument);
}

const char *
probe_prealloc(unsigned count, int cpu, struct probe_outcome *outcome)
{
	int number = (int)count;

	if (zone == NULL)
		return ("no-zone");
	slabs_begin(NULL);
	outcome->slept = worker_run(cpu, run_prealloc, &number);
	slabs_log(outcome);
	return (NULL);
}

const char *
probe_drain(int domain, struct probe_outcome *outcome)
{
	if (zone == NULL)
		return ("no-zone");
	slabs_begin(NULL);
	uma_zone_reclaim_domain(zone, UMA_RECLAIM_DRAIN, domain);
	slabs_log(outcome);
	return (NULL);
}

unsigned
probe_place(void)
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
probe_count(int domain, struct probe_counters *counters)
{
	const struct uma_domain *dom;

	if (zone == NULL)
		return;
	dom = &zone->uz_keg->uk_domain[domain];
	*counters = (struct probe_counters) {
		.pages = dom->ud_pages / zone->uz_keg->uk_ppera,
		.free_items = dom->ud_free_items,
		.free_slabs = dom->ud_free_slabs,
		.in_part_list = length_of(&dom->ud_part_slab),
		.in_free_list = length_of(&dom->ud_free_slab),
		.in_full_list = length_of(&dom->ud_full_slab),
	};
}
