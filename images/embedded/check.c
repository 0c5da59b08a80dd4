/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The other end of "harness check": the zone that a trace is about, its slab
 * allocator, which logs each call and can refuse domains, and the operations.
 * images/kmod does the same on FreeBSD.
 */

#include "boot.h"
#include "channel.h"
#include "check.h"
#include "keg.h"
#include "malloc_flags.h"
#include "numa.h"
#include "pmap.h"
#include "pool.h"
#include "protocol.h"

#define SLABS_MAX	2048	/* at a time, in all domains */

_Static_assert(SLABS_MAX < KVA_SIZE / PAGE_SIZE, "there are addresses for all slabs");

static bool checking;
static struct uma_keg *zone;
static void *items[PROBE_SLOTS];
static int meanwhile = PROBE_NO_SLOT;	/* the slot of the item to be freed during an allocation */

static unsigned slab_number[KVA_SIZE / PAGE_SIZE];	/* by the slab's place in the window */
static unsigned slabs_made;
static unsigned patience;	/* the call at which the allocator gives in */
static bool refused[MAXMEMDOM];

/* Of one operation. */
static unsigned calls;
static uint8_t call[PROBE_CALLS];
static unsigned slept_before;

/* --- the memory below the zone ------------------------------------------ */

static unsigned *
number_of(const void *item)
{
	return (&slab_number[((uintptr_t)item - VM_MIN_KERNEL_ADDRESS) / PAGE_SIZE]);
}

/* What another CPU may do while the slab allocator is called. */
static void
free_meanwhile(void)
{
	uma_zfree(zone, items[meanwhile]);
	items[meanwhile] = NULL;
}

/* Memory of exactly that domain; without the commit, nothing else ends some operations. */
static void *
slabs_alloc(struct uma_keg *keg, int domain, int flags)
{
	void *slab;

	(void)keg;
	if (calls < PROBE_CALLS)
		call[calls] = (uint8_t)domain;
	if (calls == 0 && meanwhile != PROBE_NO_SLOT)
		free_meanwhile();
	if (++calls < patience && refused[domain])
		return (NULL);
	slab = vm_page_alloc_domain(domain, flags);
	if (slab != NULL)
		*number_of(slab) = slabs_made++;
	return (slab);
}

static bool
slabs_left(unsigned wanted)
{
	unsigned pages = 0;

	for (int domain = 0; domain < vm_ndomains; domain++)
		pages += zone->uk_domain[domain].ud_pages;
	return (wanted <= SLABS_MAX - pages);
}

void
probe_refuse(int domain, bool refuse)
{
	refused[domain] = refuse;
}

void
probe_low(int domain, bool low)
{
	vm_page_low_domain(domain, low);
}

static void
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

const char *
probe_zone(const struct probe_order *order, unsigned *ipers)
{
	uint32_t flags = UMA_ZONE_VM;	/* FreeBSD's layout with the sanitizer, too */

	if ((order->flags & PROBE_HASHED) != 0)
		return ("not-hashed");
	if ((order->flags & PROBE_ROUNDROBIN) != 0)
		flags |= UMA_ZONE_ROUNDROBIN;
	if (zone != NULL)
		probe_discard();
	memory_recover();
	memset(refused, 0, sizeof(refused));
	slabs_made = 0;
	patience = (unsigned)order->patience;
	zone = uma_zcreate("harness check", (uint32_t)order->size, flags);
	if (zone == NULL)
		return ("slab-of-several-pages");
	uma_zone_set_allocf(zone, slabs_alloc);
	uma_zone_reserve(zone, (uint32_t)order->reserve);
	*ipers = zone->uk_ipers;
	return (NULL);
}

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

unsigned
probe_place(void)
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
probe_count(int domain, struct probe_counters *counters)
{
	const struct uma_domain *dom;

	if (zone == NULL)
		return;
	dom = &zone->uk_domain[domain];
	*counters = (struct probe_counters) {
		.pages = dom->ud_pages,
		.free_items = dom->ud_free_items,
		.free_slabs = dom->ud_free_slabs,
		.in_part_list = length_of(dom->ud_part_slab),
		.in_free_list = length_of(dom->ud_free_slab),
		.in_full_list = length_of(dom->ud_full_slab),
	};
}

/* --- the operations ----------------------------------------------------- */

/* One CPU runs; during an operation it counts as of that one's domain. */
static void
operation_begin(int cpu)
{
	pcpu_domain = cpus[cpu].domain;
	slept_before = vm_sleeps();
	calls = 0;
}

static void
operation_end(struct probe_outcome *outcome)
{
	outcome->slept = vm_sleeps() - slept_before;
	outcome->calls = calls;
	memcpy(outcome->call, call, sizeof(call));
}

const char *
probe_alloc(const struct probe_request *request, struct probe_outcome *outcome)
{
	char *item;

	if (zone == NULL)
		return ("no-zone");
	if (items[request->slot] != NULL)
		return ("slot-is-taken");
	if (request->meanwhile != PROBE_NO_SLOT && items[request->meanwhile] == NULL)
		return ("no-such-item");
	if (request->domain != PROBE_BY_CPU && (zone->uk_flags & UMA_ZONE_ROUNDROBIN) != 0)
		return ("zone-chooses-the-domain");
	if (!slabs_left(1))
		return ("too-many-slabs");
	operation_begin(request->cpu);
	meanwhile = request->meanwhile;
	if (request->domain == PROBE_BY_CPU)
		item = uma_zalloc(zone, request->flags);
	else
		item = uma_zalloc_domain(zone, request->domain, request->flags);
	meanwhile = PROBE_NO_SLOT;
	operation_end(outcome);
	items[request->slot] = item;
	if (item == NULL)
		return (NULL);
	outcome->item = true;
	outcome->domain = vm_phys_domain(pmap_kextract(item));
	outcome->slab = *number_of(item);
	outcome->index = (unsigned)((uintptr_t)item % PAGE_SIZE / zone->uk_rsize);
	return (NULL);
}

const char *
probe_free(unsigned slot, int cpu, struct probe_outcome *outcome)
{
	if (zone == NULL || items[slot] == NULL)
		return ("no-such-item");
	operation_begin(cpu);
	uma_zfree(zone, items[slot]);
	operation_end(outcome);
	items[slot] = NULL;
	return (NULL);
}

const char *
probe_prealloc(unsigned count, int cpu, struct probe_outcome *outcome)
{
	if (zone == NULL)
		return ("no-zone");
	if (!slabs_left(howmany(count, zone->uk_ipers)))
		return ("too-many-slabs");
	operation_begin(cpu);
	uma_prealloc(zone, count);
	operation_end(outcome);
	return (NULL);
}

const char *
probe_drain(int domain, struct probe_outcome *outcome)
{
	(void)outcome;		/* the slab allocator has no part in it */
	if (zone == NULL)
		return ("no-zone");
	keg_drain_domain(zone, domain);
	return (NULL);
}

/* That takes a second thread, which sees the first one sleep. */
const char *
probe_starve(int domain, int cpu, unsigned milliseconds, struct probe_starved *starved)
{
	(void)domain, (void)cpu, (void)milliseconds, (void)starved;
	return ("not-here");
}

/* Before the report, whose end tells the other side that it can begin. */
void
check_init(void)
{
	int check = 0;

	if (!tunable_int("harness.check", &check) || check == 0)
		return;
	checking = channel_open();
	if (!checking)
		printf("harness.check: no second serial port, so nobody to talk to\n");
}

void
check_run(void)
{
	if (checking)
		channel_serve();
}
