/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * How a thread waits for memory: its domain is really below its minimum, and
 * the zone's allocator finds nothing there.  (The stock allocators sleep by
 * themselves, so that with them nobody sees what keg_fetch_slab() does.)
 */

#include "check.h"

#include <sys/limits.h>
#include <sys/malloc.h>
#include <sys/time.h>

static void *starved_item;
static int starved_domain;

static void
run_starved(void *unused __unused)
{
	starved_item = uma_zalloc_domain(zone_now(), NULL, starved_domain, M_WAITOK);
}

static uint64_t
now_us(void)
{
	return ((uint64_t)(sbinuptime() / SBT_1US));
}

const char *
probe_starve(int domain, int cpu, unsigned milliseconds, struct probe_starved *starved)
{
	uint64_t start, run;

	if (!zone_is_first_touch())
		return ("no-first-touch-zone");
	if (!memory_take(domain)) {
		memory_give_back();
		return ("domain-cannot-be-emptied");
	}
	starved_domain = domain;
	starved_item = NULL;
	slabs_begin();
	slabs_set_patience(UINT_MAX);
	probe_refuse(domain, true);
	start = now_us();
	run = worker_cpu_us();
	worker_begin(cpu, run_starved, NULL);
	while (now_us() - start < (uint64_t)milliseconds * 1000 && !worker_done())
		continue;
	starved->calls = slabs_calls();
	starved->run_us = worker_cpu_us() - run;
	starved->elapsed_us = now_us() - start;
	starved->asleep = worker_asleep();
	probe_refuse(domain, false);
	start = now_us();
	memory_give_back();
	while (!worker_done())
		continue;
	starved->wake_us = now_us() - start;
	starved->served = starved_item != NULL;
	if (starved_item != NULL)
		uma_zfree(zone_now(), starved_item);
	return (NULL);
}
