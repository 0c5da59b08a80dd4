/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* The commands about zones held to invariants; README.md tells all of them. */

#include "zones.h"

#include <sys/kernel.h>
#include <sys/malloc.h>

#define OF_ZONES	"apdmxksbiz"	/* operations that are on a zone */

static char left_out[512];	/* ,name,name, */

void
zones_leave_out(const char *names)
{
	struct text out = text_into(left_out, sizeof(left_out));

	text_char(&out, ',');
	for (; names != NULL && *names != ' ' && *names != '\0'; names++)
		text_char(&out, *names);
	text_char(&out, ',');
}

bool
zones_left_out(const char *name)
{
	size_t length = strlen(name);

	for (const char *at = left_out; (at = strstr(at, name)) != NULL; at++)
		if (at[-1] == ',' && at[length] == ',')
			return (true);
	return (false);
}

/* One letter a flag, so that no number of FreeBSD's stands in the protocol. */
static int
flag_of(char letter)
{
	switch (letter) {
	case 'n':
		return (M_NOWAIT);
	case 'w':
		return (M_WAITOK);
	case 'v':
		return (M_NOVM);
	case 'r':
		return (M_USE_RESERVE);
	case 'z':
		return (M_ZERO);
	default:
		return (0);
	}
}

static const char *
read_number(const char *at, long *number)
{
	if (digit_of(*at) >= 10)
		return (at);
	for (*number = 0; digit_of(*at) < 10; at++)
		*number = *number * 10 + digit_of(*at);
	return (at);
}

/* VERB[ZONE[,SLOT[,CPU[,DOMAIN[,NUMBER[,FAIL[,GAP]]]]]]]FLAGS; what is left out is not said. */
static const char *
read_operation(const char *at, struct zones_operation *operation)
{
	long *fields[] = { &operation->zone, &operation->slot, &operation->cpu,
	    &operation->domain, &operation->number, &operation->fail, &operation->gap };
	size_t field = 0;

	*operation = (struct zones_operation) { .verb = *at, .domain = ZONES_BY_CPU };
	at++;
	at = read_number(at, fields[field]);
	while (*at == ',' && ++field < sizeof(fields) / sizeof(fields[0]))
		at = read_number(at + 1, fields[field]);
	for (int flag; *at == 'e' || (flag = flag_of(*at)) != 0; at++)
		if (*at == 'e')
			operation->always = true;
		else
			operation->flags |= flag;
	return (at);
}

static bool
is_possible(const struct zones_operation *operation)
{
	static const char of_zones[] = OF_ZONES, all[] = OF_ZONES "fryltogcehjquv";
	bool waits = (operation->flags & M_WAITOK) != 0;

	if (strchr(all, operation->verb) == NULL || operation->verb == '\0' ||
	    operation->slot >= ZONES_SLOTS || operation->cpu >= probe_cpus() ||
	    operation->domain >= probe_domains() || operation->zone >= ZONES_MAX)
		return (false);
	if (strchr("ryloehb", operation->verb) != NULL && operation->domain < 0)
		return (false);
	if ((operation->verb == 'a' || operation->verb == 's') && (waits == ((operation->flags & M_NOWAIT) != 0) ||
	    (waits && (operation->flags & M_NOVM) != 0)))
		return (false);
	return (strchr(of_zones, operation->verb) == NULL || operation->number <= 1000000);
}

const char *
zones_read_operation(const char *text, struct zones_operation *operation)
{
	text = read_operation(text, operation);
	return (is_possible(operation) ? text : NULL);
}

/* Zones may have been destroyed meanwhile: then there is nothing to do. */
bool
zones_has_zone(const struct zones_operation *operation)
{
	const struct zones_zone *each = &zones[operation->zone];

	return (strchr(OF_ZONES, operation->verb) == NULL || (each->zone != NULL && !each->leaves));
}

/* OPERATION[;OPERATION]/…: the second is another thread's, in the middle of the first. */
static const char *
run_all(const char *at, unsigned *done)
{
	for (; *at != '\0' && *at != ' '; at += *at == '/') {
		struct zones_operation operation, other;

		at = read_operation(at, &operation);
		if (!is_possible(&operation))
			return ("no-such-operation");
		if (*at == ';') {
			at = read_operation(at + 1, &other);
			if (!is_possible(&other))
				return ("no-such-operation");
			if (zones_has_zone(&other))
				operation.meanwhile = &other;
		}
		if (*at != '/' && *at != ' ' && *at != '\0')
			return ("no-such-operation");
		if (zones_has_zone(&operation))
			zones_run(&operation);
		++*done;
		if (zones_are_broken())
			return (NULL);
	}
	check_at_rest();
	return (NULL);
}

/* In the middle of an answer nothing may be said of another one. */
static void
answer(const char *name, const char *why, unsigned done)
{
	if (why != NULL) {
		probe_refused(why);
		return;
	}
	struct text *out = probe_begin(name);

	probe_field("count", done);
	if (zones_are_broken()) {
		text_string(out, " broken=");
		text_string(out, zones_breakage());
	}
	probe_finish();
}

static const char *
make(unsigned *done)
{
	struct zones_order order = { .size = probe_number("size"), .kind = probe_number("kind"),
	    .reserve = probe_number("reserve"), .limit = probe_number("limit"),
	    .maxcache = probe_number("maxcache"), .primary = probe_number("primary"),
	    .align = probe_number("align"), .kva = probe_number("kva") };
	long number = probe_number("number");

	*done = 1;
	return (number < 0 ? "not-an-order" : zones_make((unsigned)number, &order));
}

static bool
obey(void)
{
	const char *operations = probe_value("ops");
	unsigned done = 0;

	if (probe_is_command("zones")) {
		zones_leave_out(probe_value("without"));
		zones_start(probe_number("patience") > 0 ? (unsigned)probe_number("patience") : 40);
		answer("zones", NULL, done);
	} else if (probe_is_command("make")) {
		const char *why = make(&done);

		answer("make", why, done);
	} else if (probe_is_command("run") && operations != NULL) {
		const char *why = run_all(operations, &done);

		answer("run", why, done);
	} else if (probe_is_command("end")) {
		zones_end(probe_number("closely") > 0);
		answer("end", NULL, done);
	} else
		return (false);
	return (true);
}

static void
register_commands(void *unused __unused)
{
	probe_register(obey);
}
SYSINIT(harness_zones, SI_SUB_DRIVERS, SI_ORDER_ANY, register_commands, NULL);
