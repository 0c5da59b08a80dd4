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

#include <sys/malloc.h>
#include <sys/smp.h>
#include <sys/domainset.h>
#include <sys/vmmeter.h>

#include <vm/vm_phys.h>

#define WITHOUT_LIMIT	1000000
#define TIMEOUTS_MAX	100

static PER_THREAD const struct zones_operation *running;

static void
run_alloc(void *unused __unused)
{
	items_alloc(running);
}

static void
run_free(void *unused __unused)
{
	items_free((unsigned)running->slot);
}

static void
run_read(void *unused __unused)
{
	items_read(running);
}

static void
run_steady(void *unused __unused)
{
	items_steady(running);
}

static void
run_wait(void *unused __unused)
{
	zones[running->zone].used = true;
	uma_zwait(zones[running->zone].zone);
}

static void
run_prealloc(void *unused __unused)
{
	uma_prealloc(zones[running->zone].zone, (int)running->number);
}

static bool
can_prealloc(const struct zones_operation *operation)
{
	const struct zones_zone *each = &zones[operation->zone];
	uma_keg_t keg = each->zone->uz_keg;

	if ((each->kind & KIND_CACHE) != 0)
		return (false);
	/* What there is address space for, and no more, is asked for. */
	return (zones[each->primary].reserved == 0 || keg->uk_kva == 0 ||
	    keg->uk_offset + howmany((unsigned long)operation->number, keg->uk_ipers) *
	    keg->uk_ppera * PAGE_SIZE <= zones[each->primary].reserved);
}

static void
run_reclaim(void *unused __unused)
{
	reclaim_zone(running);
}

static void
run_reclaim_all(void *unused __unused)
{
	reclaim_all(running);
}

static void
run_enter(void *unused __unused)
{
	const struct zones_zone *each = &zones[running->zone];

	if ((each->kind & KIND_SMR) != 0)
		readers_enter(each->zone->uz_smr);
}

static void
run_timeout(void *unused __unused)
{
	for (long i = 0; i <= running->number % TIMEOUTS_MAX && zones_timeout(); i++)
		continue;
}

static bool limits_change[ZONES_MAX];

static void
set_max(const struct zones_operation *operation)
{
	struct zones_zone *each = &zones[operation->zone];

	if (each->zone->uz_max_items == 0 && (each->used || zones_are_concurrent()))
		return;		/* asserted against, though not while the first allocation runs */
	if (limits_change[operation->zone])
		return;		/* by another thread, which may take the limit away */
	limits_change[operation->zone] = true;
	if (uma_zone_set_max(each->zone, (int)operation->number) != operation->number ||
	    uma_zone_get_max(each->zone) != operation->number)
		zones_broken("zone-told", "a limit of %ld items is another one", operation->number);
	/* Not exact once there was none: what was allocated meanwhile was not counted. */
	each->limited = operation->number > 0 && (each->limited || !each->used);
	each->lowered |= each->used;
	each->maxcache = -1;
	limits_change[operation->zone] = false;
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
	if (zones[number].in_use == 0 && zones[number].busy == 0 && !has_secondary(number)) {
		readers_leave(-1);
		zones_destroy((unsigned)number);
	}
}

static uint64_t
counted(unsigned number)
{
	return (UZ_ITEMS_COUNT(zones[number].zone->uz_items));
}

/* What is freed while somebody waits for it does not stay in a cache. */
static bool
free_one_of(unsigned number)
{
	uint64_t before = counted(number);

	for (unsigned slot = 0; slot < ZONES_SLOTS; slot++)
		if (zones_item[slot] != NULL && zones_item_zone[slot] == number) {
			items_free(slot);
			if (counted(number) == before && !memory_was_interrupted())
				zones_broken("free-kept", "an item is freed while a thread waits at "
				    "the zone's limit, and counts still");
			return (true);
		}
	return (false);
}

/* A thread waits: for memory, or for items of a zone at its limit. */
static bool
wake(const char *wmesg)
{
	unsigned number = (unsigned)running->zone;

	if (memory_interrupt())
		return (true);		/* it may have woken the thread */
	if (strcmp(wmesg, "vmwait") == 0) {
		memory_bring_back();
		return (true);
	}
	if (strcmp(wmesg, "zonelimit") != 0)
		return (false);
	if (zones[number].zone->uz_max_items == 0)
		zones_broken("wakeup-lost", "a thread waits at the limit of a zone that has none");
	if (counted(number) < zones[number].zone->uz_max_items)
		zones_broken("wakeup-lost", "a thread waits at the limit of a zone that is below it");
	if (free_one_of(number))
		return (true);
	zones_broken("starvation", "a thread waits at the limit of a zone of which nothing is in use");
	/* So that it ends; uma_zone_set_max() would assert where the limit was taken away. */
	zones[number].zone->uz_max_items = WITHOUT_LIMIT;
	wakeup(&zones[number].zone->uz_max_items);
	zones[number].lowered = true;
	return (true);
}

/* Nobody else runs on a reader's CPU; and some wait for readers. */
static void
make_way(const struct zones_operation *operation)
{
	bool waits = strchr("dct", operation->verb) != NULL && !zones_can_wait_for_readers();

	if (operation->verb == 's' || waits)
		readers_leave(-1);
	else
		readers_leave((int)operation->cpu);
}

static void
run_verb(const struct zones_operation *operation, bool nested)
{
	const struct zones_operation *outer = running;
	bool waits = (operation->flags & M_WAITOK) != 0;
	void (*function)(void *) = NULL;

	switch (operation->verb) {
	case 'a':
		if (items_can_alloc(operation) && !(waits && nested))
			function = run_alloc;
		break;
	case 'f':
		if (zones_item[operation->slot] != NULL)
			function = run_free;
		break;
	case 'q':
		if (!nested)
			function = run_read;
		break;
	case 's':
		if (!nested && !waits && (zones[operation->zone].kind & KIND_CACHE) == 0 &&
		    items_can_use(operation))
			function = run_steady;
		break;
	case 'p':
		/* It waits for the keg's initializer, too: not one that was told to fail. */
		if (!nested && can_prealloc(operation))
			function = run_prealloc;
		waits = true;
		break;
	case 'z':
		/* It has no argument for a constructor; and an import may fail. */
		if (!nested && (zones[operation->zone].kind & (KIND_CTOR | KIND_CACHE)) == 0)
			function = run_wait;
		waits = true;
		break;
	case 'd':
		function = run_reclaim;
		break;
	case 'c':
		function = run_reclaim_all;
		break;
	case 't':
		function = run_timeout;
		break;
	case 'i':
		function = run_enter;
		break;
	}
	if (function == NULL)
		return;
	make_way(operation);
	running = operation;
	if (nested) {
		int cpu = zones_cpu();

		zones_move((int)operation->cpu);
		function(NULL);
		readers_leave(cpu);
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
	case 'e':
	case 'h':
		memory_exhaust_domain((int)operation->domain, operation->verb == 'e');
		return (true);
	case 'j':
		zones_run_tasks();
		return (true);
	case 'l':
	case 'o':
		if (!memory_is_exhausted((int)operation->domain))
			memory_low((int)operation->domain, operation->verb == 'l');
		return (true);
	case 'u':
		zones_migrate((unsigned)operation->number, (int)operation->cpu);
		return (true);
	case 'v':
		readers_leave((int)operation->cpu);
		return (true);
	case 'b':
		zones_contend(zones[operation->zone].zone, (int)operation->domain);
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
	struct zones_zone *each = &zones[operation->zone];
	bool of_zone = strchr("apdmxsz", operation->verb) != NULL;

	memory_begin(operation);
	moved_begin();
	each->busy += of_zone;
	if (operation->verb == 'k')
		destroy(operation->zone);
	else if (!is_done(operation))
		run_verb(operation, false);
	memory_end();
	each->busy -= of_zone;
	if (strchr("af", operation->verb) != NULL)
		moved_check();
}

/* Another thread's, in the middle of an operation: where no lock is held. */
void
zones_nested(const struct zones_operation *operation)
{
	if (operation->verb == 'g') {
		readers_leave((int)operation->cpu);
		if (zones_are_bound() || operation->cpu == zones_cpu())
			return;
		moved_from(zones_cpu());
		zones_move((int)operation->cpu);
	} else if (!is_done(operation))
		run_verb(operation, true);
}
