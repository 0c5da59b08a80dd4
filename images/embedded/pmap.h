/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef PMAP_H
#define PMAP_H

#include "kernel.h"

void		pmap_bootstrap(void);
void		*pmap_map(vm_paddr_t page);
vm_paddr_t	pmap_unmap(void *mapped);
vm_paddr_t	pmap_kextract(const void *mapped);
vm_offset_t	kva_in_use(void);
bool		dmap_covers(vm_paddr_t start, size_t size);

static inline void *
dmap_pointer(vm_paddr_t address)
{
	return ((void *)(DMAP_MIN_ADDRESS + address));
}

#endif
