/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* The order of the boot. */

#include "boot.h"
#include "channel.h"
#include "check.h"
#include "commands.h"
#include "domainset.h"
#include "kasan.h"
#include "numa.h"
#include "plant.h"
#include "pmap.h"
#include "pool.h"
#include "report.h"
#include "trap.h"
#include "vm_map.h"

void	mi_startup(vm_paddr_t start_info);

static void
print_banner(void)
{
	printf("---<<BOOT>>---\n");
	printf("This is the harness's built-in guest, NOT FreeBSD: it acts out FreeBSD's slab\n"
	    "allocator on this machine's memory domains, and nothing else of FreeBSD.\n");
	printf("%s", version);
	printf("%s\n", __VERSION__);
}

/* The part of FreeBSD's function of this name that is implemented here. */
static __noinline void
vm_mem_init(void)
{
	vm_page_startup();
	domainset_init();
	vm_map_startup();
	kmem_init();
}

void
mi_startup(vm_paddr_t start_info)
{
	trap_init();
	kasan_init();
	print_banner();
	boot_read(start_info);
	pmap_bootstrap();
	numa_init();
	vm_mem_init();
	plant_run();
	check_init();
	commands_init();
	report_print();
	report_print();
	channel_run();
	kern_poweroff();
}
