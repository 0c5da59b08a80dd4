/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* The UMA zones that keep a reserve, by sys/vm/uma_core.c:zone_alloc_sysctl(). */

#include <limits.h>

#include "facts.h"
#include "libc.h"
#include "report.h"
#include "sysctl.h"

#define NAME_MAX	256

/* Whether this is the name of something below vm.uma; if so, cut to the zone's own name. */
static bool
zone_of(char *name, const char **zone)
{
	const char prefix[] = "vm.uma.";
	size_t length = sizeof(prefix) - 1;

	if (strlen(name) < length || memcmp(name, prefix, length) != 0)
		return (false);
	*zone = name + length;
	for (char *at = name + length; *at != '\0'; at++)
		if (*at == '.')
			*at = '\0';
	return (true);
}

static struct text
keg_name(char *name, const char *zone)
{
	struct text text = text_into(name, NAME_MAX);

	text_string(&text, "vm.uma.");
	text_string(&text, zone);
	text_string(&text, ".keg.");
	return (text);
}

static uint64_t
keg_number(const char *zone, const char *leaf, uint64_t missing)
{
	char name[NAME_MAX];
	struct text text = keg_name(name, zone);

	text_string(&text, leaf);
	return (sysctl_number(name, missing));
}

static uint64_t
domain_number(const char *zone, int domain, const char *leaf)
{
	char name[NAME_MAX];
	struct text text = keg_name(name, zone);

	text_string(&text, "domain.");
	text_number(&text, (uint64_t)domain);
	text_string(&text, ".");
	text_string(&text, leaf);
	return (sysctl_number(name, UINT64_MAX));
}

static void
report_zone(const char *zone, int domains)
{
	uint64_t reserve = keg_number(zone, "reserve", 0);	/* caches have no keg */

	if (reserve == 0)
		return;
	record("zone");
	field_text("name", zone);
	field_number("reserve", (int64_t)reserve);
	field_number("ipers", (int64_t)keg_number(zone, "ipers", 0));
	record_done();
	for (int domain = 0; domain < domains; domain++) {
		uint64_t pages = domain_number(zone, domain, "pages");

		if (pages == UINT64_MAX)	/* a keg with a hash shows one domain only */
			break;
		record("zonedomain");
		field_text("zone", zone);
		field_number("domain", domain);
		field_number("pages", (int64_t)pages);
		field_number("free_items", (int64_t)domain_number(zone, domain, "free_items"));
		field_number("free_slabs", (int64_t)domain_number(zone, domain, "free_slabs"));
		record_done();
	}
}

static void
report_zones(int domains)
{
	struct oid oid, leaf;
	char name[NAME_MAX];
	const char *zone;

	if (!sysctl_find("vm.uma", &oid))
		return;
	while (sysctl_next(&oid, &leaf) && leaf.length > 3 &&
	    sysctl_name(&leaf, name, sizeof(name)) && zone_of(name, &zone)) {
		report_zone(zone, domains);
		/* No leaf of a zone has so high a number: what follows is the next zone. */
		oid = leaf;
		oid.number[3] = INT_MAX;
		oid.length = 4;
	}
}

REPORTER(report_zones);
