/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef NUMA_H
#define NUMA_H

#include "kernel.h"

#define NO_LOCALITY	(-1)

struct cpu_info {
	uint32_t	apic_id;
	int		domain;
	bool		in_srat;
};

struct mem_affinity {
	vm_paddr_t	start;
	vm_paddr_t	end;
	int		domain;
};

extern int vm_ndomains;
extern struct cpu_info cpus[MAXCPU];
extern int mp_ncpus;

void	numa_init(void);
int	vm_phys_lookup_locality(int from, int to);

/* Calls back for each piece of free memory, in the domain it belongs to. */
void	numa_each_range(void (*add)(int domain, vm_paddr_t start, vm_paddr_t end));

#endif
