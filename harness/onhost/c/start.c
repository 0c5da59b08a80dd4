/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The start of the program: CPUs and memory, the subsystems' functions, then the
 * SYSINITs of the tree's files, in the kernel's order.  Also the channel to the
 * harness, with the check module's protocol.
 */

#include "kern.h"

#include <sys/cpuset.h>
#include <sys/domainset.h>
#include <sys/kernel.h>
#include <sys/proc.h>

#include "protocol.h"

#define LAST_ORDER	((uint64_t)SI_SUB_CONFIGURE << 32)

typedef void start_t(void);

extern start_t *const __start_set_harness_start[], *const __stop_set_harness_start[];
SET_DECLARE(sysinit_set, struct sysinit);

static uint64_t
order_of(const struct sysinit *init)
{
	return ((uint64_t)init->subsystem << 32 | (uint32_t)init->order);
}

/*
 * Run all SYSINITs of one order, then those of the next, up to the configuration
 * of devices: there are none, and what starts then is periodic.
 */
static void
run_sysinits(void)
{
	struct sysinit **each;
	uint64_t next = 0;

	while (next < LAST_ORDER) {
		uint64_t now = next;

		next = UINT64_MAX;
		SET_FOREACH(each, sysinit_set)
			if (order_of(*each) == now)
				(*each)->func(__DECONST(void *, (*each)->udata));
			else if (order_of(*each) > now && order_of(*each) < next)
				next = order_of(*each);
	}
}

void
kern_start(int cpus, const int *domain_of_cpu, int domains, unsigned empty)
{
	cpus_start(cpus, domain_of_cpu);
	memory_start(domains, empty);
	domainset_init();
	domainset_zero();
	for (start_t *const *start = __start_set_harness_start; start < __stop_set_harness_start;
	    start++)
		(*start)();
	run_sysinits();
}

void
probe_send(const char *text, size_t length)
{
	host_send(text, length);
}

void
kern_take(const char *text, unsigned long length)
{
	locks_begin();
	for (unsigned long at = 0; at < length; at++)
		probe_take(text[at]);
}
