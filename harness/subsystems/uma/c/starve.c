/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * How a thread waits for memory: its domain is really below its minimum, and
 * the zone's allocator finds nothing there.  (The stock allocators sleep by
 * themselves, so that with them nobody sees what keg_fetch_slab() does.)
 */

#include "zone.h"

#include <sys/limits.h>
#include <sys/malloc.h>

#define SETTLE_US	500000	/* the page daemon finds something to free at first */

struct request {
	void		*item;
	uint64_t	 ended_us;
	int		 domain;
};

static void
run_starved(void *argument)
{
	struct request *request = argument;

	request->item = zone_alloc(request->domain, M_WAITOK);
	request->ended_us = now_us();
}

/* Keeps the domain empty for so long, whatever comes back; false: it has memory. */
static bool
keep_empty(int domain, uint64_t microseconds)
{
	uint64_t start = now_us();
	bool empty = true;

	while (now_us() - start < microseconds) {
		empty = memory_take(domain);
		pause("hcempt", 1);
	}
	return (empty);
}

const char *
zone_starve(int domain, int cpu, unsigned milliseconds, struct zone_starved *starved)
{
	struct request request = { .domain = domain };
	uint64_t start, run, enough;

	if (!zone_is_first_touch())
		return ("no-first-touch-zone");
	if (!keep_empty(domain, SETTLE_US)) {
		memory_give_back(domain);
		return ("domain-cannot-be-emptied");
	}
	step_aside(cpu);
	trace_begin(UINT_MAX);
	trace_refuse(domain, true);
	start = now_us();
	run = worker_cpu_us();
	worker_begin(cpu, run_starved, &request);
	keep_empty(domain, (uint64_t)milliseconds * 1000);
	starved->calls = trace_calls();
	starved->run_us = worker_cpu_us() - run;
	starved->elapsed_us = now_us() - start;
	starved->asleep = worker_asleep();
	trace_refuse(domain, false);
	enough = memory_give_back(domain);
	while (!worker_done())
		continue;
	starved->wake_us = request.ended_us - MIN(request.ended_us, enough);
	starved->served = request.item != NULL;
	if (request.item != NULL)
		zone_free(request.item);
	return (NULL);
}
