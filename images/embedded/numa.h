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

/*
 * Of the CPU that runs.  During the boot it is 0, wherever the SRAT puts that
 * CPU: so does FreeBSD count until it applies the SRAT (SI_SUB_CPU).
 */
extern int pcpu_domain;

extern struct cpu_info cpus[MAXCPU];
extern int mp_ncpus;

void	numa_init(void);
int	vm_phys_lookup_locality(int from, int to);
int	vm_phys_domain(vm_paddr_t page);

/* Calls back for each piece of free memory, in the domain it belongs to. */
void	numa_each_range(void (*add)(int domain, vm_paddr_t start, vm_paddr_t end));

#endif
