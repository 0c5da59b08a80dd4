/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* A thread that is moved in the middle of an operation leaves the caches of its first CPU alone. */

#include "zones.h"

#include <sys/domainset.h>
#include <sys/smp.h>

static struct {
	bool			moved;
	int			cpu;	/* the first one */
	uma_zone_t		zone[ZONES_MAX];
	struct uma_cache	cache[ZONES_MAX];
} was;

void
moved_begin(void)
{
	was.moved = false;
}

void
moved_from(int cpu)
{
	was.moved = true;
	was.cpu = cpu;
	for (unsigned number = 0; number < ZONES_MAX; number++) {
		was.zone[number] = zones[number].zone;
		if (was.zone[number] != NULL)
			was.cache[number] = was.zone[number]->uz_cpu[cpu];
	}
}

static bool
differ(const struct uma_cache_bucket *one, const struct uma_cache_bucket *other)
{
	return (one->ucb_bucket != other->ucb_bucket || one->ucb_cnt != other->ucb_cnt);
}

void
moved_check(void)
{
	for (unsigned number = 0; was.moved && number < ZONES_MAX; number++) {
		const struct uma_cache *before = &was.cache[number], *now;

		if (was.zone[number] == NULL || was.zone[number] != zones[number].zone)
			continue;
		now = &was.zone[number]->uz_cpu[was.cpu];
		if (differ(&before->uc_allocbucket, &now->uc_allocbucket) ||
		    differ(&before->uc_freebucket, &now->uc_freebucket) ||
		    differ(&before->uc_crossbucket, &now->uc_crossbucket))
			zones_broken("cache-of-other", "a thread that was moved from CPU %d uses that "
			    "CPU's cache", was.cpu);
	}
	was.moved = false;
}
