/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* The commands about zones; README.md tells all of them. */

#include "zone_trace.h"

#ifdef _KERNEL
#include <sys/malloc.h>
#else
#include "malloc_flags.h"
#endif

#define DOMAINS_MAX	8

static struct zone_counters told[DOMAINS_MAX];

static void
put_counters(struct text *out, int domain, const struct zone_counters *now)
{
	const unsigned numbers[] = { now->pages, now->free_items, now->free_slabs,
	    now->in_part_list, now->in_free_list, now->in_full_list };

	text_string(out, " d");
	text_number(out, (uint64_t)domain);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		text_char(out, i == 0 ? '=' : ',');
		text_number(out, numbers[i]);
	}
}

/* The iterator's place, and each domain whose counters have changed. */
static void
put_state(struct text *out, bool whole)
{
	probe_field("place", zone_place());
	for (int domain = 0; domain < probe_domains() && domain < DOMAINS_MAX; domain++) {
		struct zone_counters now;

		memset(&now, 0, sizeof(now));
		zone_count(domain, &now);
		if (!whole && memcmp(&now, &told[domain], sizeof(now)) == 0)
			continue;
		told[domain] = now;
		put_counters(out, domain, &now);
	}
}

static void
answer(const char *name, const char *error, const struct zone_outcome *outcome)
{
	struct text *out;

	if (error != NULL) {
		probe_refused(error);
		return;
	}
	out = probe_begin(name);
	if (outcome->item) {
		text_string(out, " item=");
		text_number(out, outcome->slab);
		text_char(out, '.');
		text_number(out, outcome->index);
		probe_field("domain", (uint64_t)outcome->domain);
	}
	if (outcome->calls > 0) {
		text_string(out, " calls=");
		for (unsigned i = 0; i < outcome->calls && i < TRACE_CALLS; i++)
			text_number(out, outcome->call[i]);
	}
	if (outcome->calls > TRACE_CALLS)
		probe_field("more", outcome->calls - TRACE_CALLS);
	if (outcome->slept > 0)
		probe_field("slept", outcome->slept);
	put_state(out, false);
	probe_finish();
}

/* One letter a flag, so that no number of FreeBSD's stands in the protocol. */
static bool
flags_of(int *flags)
{
	const char *at = probe_value("flags");

	*flags = 0;
	for (; at != NULL && *at != ' ' && *at != '\0'; at++)
		switch (*at) {
		case 'n':
			*flags |= M_NOWAIT;
			break;
		case 'w':
			*flags |= M_WAITOK;
			break;
		case 'v':
			*flags |= M_NOVM;
			break;
		case 'r':
			*flags |= M_USE_RESERVE;
			break;
		default:
			return (false);
		}
	/* Either; and keg_fetch_slab() asserts against M_WAITOK with M_NOVM. */
	return (((*flags & M_NOWAIT) != 0) != ((*flags & M_WAITOK) != 0) &&
	    (*flags & (M_WAITOK | M_NOVM)) != (M_WAITOK | M_NOVM));
}

static void
do_zone(void)
{
	struct zone_order order = { .size = probe_number("size"), .reserve = probe_number("reserve"),
	    .flags = probe_number("kind"), .patience = probe_number("patience") };
	const char *error = "not-an-order";
	struct text *out;
	unsigned ipers;

	if (order.size > 0 && order.reserve >= 0 && order.flags >= 0 && order.patience > 0)
		error = trace_zone(&order, &ipers);
	if (error != NULL) {
		probe_refused(error);
		return;
	}
	out = probe_begin("zone");
	probe_field("ipers", ipers);
	put_state(out, true);
	probe_finish();
}

static void
do_starve(int domain, int cpu)
{
	struct zone_starved starved;
	const char *error;

	memset(&starved, 0, sizeof(starved));
	error = zone_starve(domain, cpu, (unsigned)probe_number("milliseconds"), &starved);
	if (error != NULL) {
		probe_refused(error);
		return;
	}
	probe_begin("starve");
	probe_field("calls", starved.calls);
	probe_field("run_us", starved.run_us);
	probe_field("elapsed_us", starved.elapsed_us);
	probe_field("wake_us", starved.wake_us);
	probe_field("asleep", starved.asleep);
	probe_field("served", starved.served);
	probe_finish();
}

static void
do_discard(void)
{
	struct zone_outcome outcome;

	memset(&outcome, 0, sizeof(outcome));
	answer("done", trace_discard(), &outcome);
}

static void
do_operation(int cpu)
{
	struct zone_outcome outcome;
	long slot = probe_number("slot"), domain = probe_number("domain"), items = probe_number("items");
	long meanwhile = probe_number("meanwhile");
	struct zone_request request = { .slot = (unsigned)slot, .cpu = cpu,
	    .domain = domain < 0 ? TRACE_BY_CPU : (int)domain,
	    .meanwhile = meanwhile < 0 ? TRACE_NO_SLOT : (int)meanwhile };

	memset(&outcome, 0, sizeof(outcome));
	if (slot >= TRACE_SLOTS || meanwhile >= TRACE_SLOTS || domain >= probe_domains())
		probe_refused("out-of-range");
	else if (probe_is_command("alloc") && slot >= 0 && flags_of(&request.flags))
		answer("alloc", trace_alloc(&request, &outcome), &outcome);
	else if (probe_is_command("free") && slot >= 0)
		answer("free", trace_free((unsigned)slot, cpu, &outcome), &outcome);
	else if (probe_is_command("prealloc") && items > 0)
		answer("prealloc", trace_prealloc((unsigned)items, cpu, &outcome), &outcome);
	else if (probe_is_command("drain") && domain >= 0)
		answer("drain", trace_drain((int)domain, &outcome), &outcome);
	else if ((probe_is_command("refuse") || probe_is_command("accept")) && domain >= 0) {
		trace_refuse((int)domain, probe_is_command("refuse"));
		answer("done", NULL, &outcome);
	} else if ((probe_is_command("low") || probe_is_command("recover")) && domain >= 0) {
		memory_low((int)domain, probe_is_command("low"));
		answer("done", NULL, &outcome);
	} else if (probe_is_command("starve") && domain >= 0 && probe_number("milliseconds") > 0)
		do_starve((int)domain, cpu);
	else
		probe_refused("no-such-command");
}

static bool
is_operation(void)
{
	static const char *const names[] = { "alloc", "free", "prealloc", "drain", "refuse",
	    "accept", "low", "recover", "starve" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (probe_is_command(names[i]))
			return (true);
	return (false);
}

bool
zone_obey(void)
{
	long cpu = probe_number("cpu");

	if (probe_is_command("zone"))
		do_zone();
	else if (probe_is_command("discard"))
		do_discard();
	else if (is_operation())
		do_operation(cpu < 0 ? 0 : (int)cpu);
	else
		return (false);
	return (true);
}
