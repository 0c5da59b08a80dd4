/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * What UMA uses itself for a trace's zones, such as kegs, headers of slabs and
 * contexts of smr(9), comes from zones, too: when the trace's are destroyed, it
 * is back in them.  UMA keeps its list of kegs to itself, with the newest first:
 * the older ones are found from a keg that is there for that alone.
 */

#include "zones.h"

#define OWN_MAX		64	/* zones that are looked at */
#define BEACON_SIZE	64

static uma_zone_t beacon;
static struct {
	uma_zone_t	zone;
	int		in_use;
} own[OWN_MAX];
static unsigned own_count;

void
own_start(void)
{
	uma_keg_t keg;
	uma_zone_t zone;

	if (beacon == NULL)
		beacon = uma_zcreate("harness beacon", BEACON_SIZE, NULL, NULL, NULL, NULL,
		    UMA_ALIGN_PTR, 0);
	own_count = 0;
	for (keg = beacon->uz_keg; keg != NULL; keg = LIST_NEXT(keg, uk_link))
		LIST_FOREACH(zone, &keg->uk_zones, uz_link)
			if (own_count < OWN_MAX && zones_only_uma_uses(zone)) {
				own[own_count].zone = zone;
				own[own_count++].in_use = uma_zone_get_cur(zone);
			}
}

void
own_check(void)
{
	for (unsigned i = 0; i < own_count; i++) {
		int in_use = uma_zone_get_cur(own[i].zone);

		if (in_use != own[i].in_use)
			zones_broken("own-items", "%s has %d items in use, and had %d",
			    own[i].zone->uz_name, in_use, own[i].in_use);
	}
}
