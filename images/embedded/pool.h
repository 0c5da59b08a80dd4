/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef POOL_H
#define POOL_H

#include "boot.h"

#define DOMAIN_RANGES_MAX	8

/* The page pool of one memory domain, out of that node's own memory. */
struct vm_domain {
	struct phys_range vmd_ranges[DOMAIN_RANGES_MAX];	/* not allocated yet */
	int		vmd_nranges;
	uint64_t	vmd_page_count;		/* all that it was given */
	uint64_t	vmd_free_count;
	uint64_t	vmd_inactive_count;	/* in use, can be laundered on demand */
	vm_paddr_t	vmd_freed;		/* handed out and back again: the first of them */
	bool		vmd_low;		/* marked as short of pages */
};

void	vm_page_startup(void);
const struct vm_domain *vm_domain(int domain);
bool	vm_domain_empty(int domain);
bool	vm_page_count_min_domain(int domain);
void	*vm_page_alloc_domain(int domain, int flags);
void	vm_page_free(void *mapped);
void	vm_page_exhaust_domain(int domain);
void	vm_page_low_domain(int domain, bool low);
void	vm_wait_domain(int domain);
void	vm_wait_doms(void);
unsigned vm_sleeps(void);

#endif
