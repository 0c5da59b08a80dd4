/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* The items of a trace, its operations, and the log of its slab allocator. */

#include "zone_trace.h"

#ifdef _KERNEL
#include <sys/malloc.h>
#else
#include "malloc_flags.h"
#endif

#define DOMAINS_MAX	8

struct operation {
	void		*item;
	int		 domain;
	int		 flags;
	unsigned	 count;
};

static void *items[TRACE_SLOTS];
static int meanwhile = TRACE_NO_SLOT;	/* slot of the item to be freed during an allocation */
static bool refused[DOMAINS_MAX];
static unsigned zone_patience;

/* Of one operation.  Who looks at the count of calls may be another thread. */
static unsigned patience;
static volatile uint64_t calls;
static uint8_t call[TRACE_CALLS];

/* --- the slab allocator's log --------------------------------------------- */

/* The allocator is called without the keg's lock: what another CPU may do now. */
static void
free_meanwhile(void)
{
	zone_free(items[meanwhile]);
	items[meanwhile] = NULL;
	meanwhile = TRACE_NO_SLOT;
}

bool
trace_asks(int domain)
{
	if (calls < TRACE_CALLS)
		call[calls] = (uint8_t)domain;
	if (calls == 0 && meanwhile != TRACE_NO_SLOT)
		free_meanwhile();
	calls++;
	return (calls >= patience || !refused[domain]);
}

uint64_t
trace_calls(void)
{
	return (calls);
}

void
trace_begin(unsigned limit)
{
	patience = limit;
	calls = 0;
}

void
trace_refuse(int domain, bool refuse)
{
	refused[domain] = refuse;
}

/* --- operations ----------------------------------------------------------- */

static void
run(int cpu, bool waits, void (*function)(void *), struct operation *operation,
    struct zone_outcome *outcome)
{
	trace_begin(zone_patience);
	outcome->slept = zone_run(cpu, waits, function, operation);
	outcome->calls = (unsigned)calls;
	memcpy(outcome->call, call, sizeof(call));
	meanwhile = TRACE_NO_SLOT;	/* the allocator may not have been called */
}

const char *
trace_zone(const struct zone_order *order, unsigned *ipers)
{
	const char *why = zone_leave(order);

	if (why != NULL)
		return (why);
	memory_recover();
	memset(items, 0, sizeof(items));
	memset(refused, 0, sizeof(refused));
	zone_patience = (unsigned)order->patience;
	trace_begin(zone_patience);
	return (zone_make(order, ipers));
}

/* Gives everything back: for a zone that did nothing wrong. */
const char *
trace_discard(void)
{
	if (!zone_exists())
		return ("no-zone");
	for (unsigned slot = 0; slot < TRACE_SLOTS; slot++)
		if (items[slot] != NULL)
			zone_free(items[slot]);
	memset(items, 0, sizeof(items));
	memory_recover();
	zone_destroy();
	return (NULL);
}

static const char *
refusal_of(const struct zone_request *request)
{
	if (!zone_exists())
		return ("no-zone");
	if (items[request->slot] != NULL)
		return ("slot-is-taken");
	if (request->meanwhile != TRACE_NO_SLOT && items[request->meanwhile] == NULL)
		return ("no-such-item");
	if (request->domain != TRACE_BY_CPU && !zone_is_first_touch())
		return ("zone-chooses-the-domain");
	return (zone_refuses(1, request->flags));
}

static void
run_alloc(void *argument)
{
	struct operation *operation = argument;

	operation->item = zone_alloc(operation->domain, operation->flags);
}

const char *
trace_alloc(const struct zone_request *request, struct zone_outcome *outcome)
{
	struct operation operation = { .domain = request->domain, .flags = request->flags };
	const char *why = refusal_of(request);

	if (why != NULL)
		return (why);
	meanwhile = request->meanwhile;
	run(request->cpu, (request->flags & M_WAITOK) != 0, run_alloc, &operation, outcome);
	items[request->slot] = operation.item;
	if (operation.item == NULL)
		return (NULL);
	outcome->item = true;
	return (zone_find(operation.item, outcome));
}

static void
run_free(void *argument)
{
	struct operation *operation = argument;

	zone_free(operation->item);
}

const char *
trace_free(unsigned slot, int cpu, struct zone_outcome *outcome)
{
	struct operation operation = { .item = items[slot] };

	if (!zone_exists() || operation.item == NULL)
		return ("no-such-item");
	items[slot] = NULL;
	run(cpu, false, run_free, &operation, outcome);
	return (NULL);
}

static void
run_prealloc(void *argument)
{
	struct operation *operation = argument;

	zone_prealloc(operation->count);
}

const char *
trace_prealloc(unsigned count, int cpu, struct zone_outcome *outcome)
{
	struct operation operation = { .count = count };
	const char *why = zone_exists() ? zone_refuses(count, M_WAITOK) : "no-zone";

	if (why == NULL)
		run(cpu, true, run_prealloc, &operation, outcome);
	return (why);
}

static void
run_drain(void *argument)
{
	struct operation *operation = argument;

	zone_drain(operation->domain);
}

const char *
trace_drain(int domain, struct zone_outcome *outcome)
{
	struct operation operation = { .domain = domain };

	if (!zone_exists())
		return ("no-zone");
	run(0, false, run_drain, &operation, outcome);
	return (NULL);
}
