/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Threads that run operations on the zones of a trace at the same time, by a
 * schedule; README.md tells the commands.
 */

#include "threads.h"

#include <sys/kernel.h>

#include "races.h"
#include "zones.h"

#define OPERATIONS_MAX	256	/* of a thread */
#define SWITCHES_SIZE	(1 << 18)

static char switches[SWITCHES_SIZE];	/* POINT>THREAD, with commas between */
static size_t switches_length;

static struct {
	struct zones_operation	operations[OPERATIONS_MAX];
	unsigned		count;
} programs[1 + THREADS_MAX];

static const char *
add_operations(unsigned number, const char *at)
{
	while (*at != '\0' && *at != ' ') {
		struct zones_operation operation;

		at = zones_read_operation(at, &operation);
		if (at == NULL || strchr("gsjivb", operation.verb) != NULL ||
		    (*at != '/' && *at != ' ' && *at != '\0'))
			return ("no-such-operation");
		if (programs[number].count == OPERATIONS_MAX)
			return ("too-many-operations");
		programs[number].operations[programs[number].count++] = operation;
		at += *at == '/';
	}
	return (NULL);
}

static const char *
add_to_thread(void)
{
	long number = probe_number("number");
	const char *operations = probe_value("ops");

	if (number < 1 || number > THREADS_MAX || operations == NULL)
		return ("no-such-thread");
	return (add_operations((unsigned)number, operations));
}

static const char *
add_switches(void)
{
	const char *at = probe_value("add");

	if (at == NULL)
		return ("no-switches");
	if (switches_length > 0)
		switches[switches_length++] = ',';
	for (; *at != ' ' && *at != '\0'; at++) {
		if (switches_length + 2 >= sizeof(switches))
			return ("too-many-switches");
		switches[switches_length++] = *at;
	}
	switches[switches_length] = '\0';
	return (NULL);
}

static void
answer(const char *name, const char *why)
{
	if (why != NULL)
		probe_refused(why);
	else {
		probe_begin(name);
		probe_finish();
	}
}

/*
 * What threads do with an item they order among themselves, as those who hand it
 * over do, and so does who destroys a zone.
 */
static void
order_before(const struct zones_operation *operation)
{
	races_acquire(&zones_item[operation->slot]);
	if (operation->verb == 'k')
		races_acquire(&zones[operation->zone]);
}

static void
order_after(const struct zones_operation *operation)
{
	races_release(&zones_item[operation->slot]);
	races_release(&zones[operation->zone]);
}

static void
run_thread(unsigned number)
{
	for (unsigned i = 0; i < programs[number].count; i++) {
		const struct zones_operation *operation = &programs[number].operations[i];

		locks_begin();
		threads_point(POINT_OPERATION, &zones_item[operation->slot]);
		order_before(operation);
		if (zones_has_zone(operation))
			zones_run(operation);
		order_after(operation);
	}
}

static unsigned
last_thread(void)
{
	unsigned last = THREADS_MAX;

	while (last > 0 && programs[last].count == 0)
		last--;
	return (last);
}

static unsigned long
number_or(const char *name, unsigned long otherwise)
{
	return (probe_value(name) != NULL ? (unsigned long)probe_number(name) : otherwise);
}

/* Runs all threads, to their ends, and looks at all invariants. */
static unsigned long
interleave(void)
{
	struct threads_schedule schedule = {
		.switches = probe_value("schedule") != NULL ? switches : NULL,
		.log_from = number_or("log", 0),
		.logs = probe_value("log") != NULL,
		.accesses = probe_number("accesses") > 0,
		.seed = number_or("seed", 0),
		.changes = (unsigned)number_or("changes", 0),
		.length = number_or("length", 0),
	};
	unsigned count = last_thread();
	unsigned long points = 0;

	readers_leave(-1);
	if (count > 0)
		points = threads_run(count, run_thread, &schedule);
	memset(programs, 0, sizeof(programs));
	switches_length = 0;
	switches[0] = '\0';
	check_at_rest();
	return (points);
}

static bool
obey(void)
{
	if (probe_is_command("thread")) {
		const char *why = add_to_thread();

		answer("thread", why);
	} else if (probe_is_command("switches")) {
		const char *why = add_switches();

		answer("switches", why);
	} else if (probe_is_command("interleave")) {
		unsigned long points = interleave();

		if (probe_number("end") > 0)
			zones_end(false);
		probe_begin("interleave");
		probe_field("points", points);
		probe_finish();
	} else
		return (false);
	return (true);
}

static void
register_commands(void *unused __unused)
{
	probe_register(obey);
}
SYSINIT(harness_threads, SI_SUB_DRIVERS, SI_ORDER_ANY, register_commands, NULL);
