/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* UMA as a host program: its start, and what only a guest can do. */

#include "kern.h"

#include <vm/vm.h>
#include <vm/vm_param.h>
#include <vm/pmap.h>
#include <vm/vm_page.h>
#include <vm/uma.h>
#include <vm/uma_int.h>

#include "zone.h"

/* Those who call them declare them, too (sys/vm/vm_page.c, vm_kern.c). */
extern void uma_startup1(vm_offset_t);
extern void uma_startup2(void);

static void
start_uma(void)
{
	uma_startup1(VM_MAX_KERNEL_ADDRESS);
	uma_startup2();
}
ON_START(start_uma);

/* A domain's pages are never really short here. */
const char *
zone_starve(int domain __unused, int cpu __unused, unsigned milliseconds __unused,
    struct zone_starved *starved __unused)
{
	return ("only-in-a-guest");
}
