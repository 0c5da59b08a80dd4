/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef BOOT_H
#define BOOT_H

#include "kernel.h"

/* The machine as described by the firmware's PVH option ROM. */

struct phys_range {
	vm_paddr_t	start;
	vm_paddr_t	end;
};

#define PHYS_AVAIL_MAX	32

/* RAM that is free for use: page-aligned, ascending, without the kernel. */
extern struct phys_range phys_avail[PHYS_AVAIL_MAX];
extern int phys_avail_count;

void		boot_read(vm_paddr_t start_info);
vm_paddr_t	boot_rsdp(void);

/* Loader tunables come with QEMU's -append: name=value, by spaces. */
bool	tunable_string(const char *name, char *value, size_t size);
bool	tunable_int(const char *name, int *value);

#endif
