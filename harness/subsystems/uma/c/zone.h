/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef ZONE_H
#define ZONE_H

/* What the check module's files about zones share; zone_trace.h is the built-in guest's, too. */

#include "check.h"
#include "zone_trace.h"

#include <vm/uma.h>

/* slabs.c: the memory below the zone, which logs and refuses. */
void	 slabs_reset(void);
const char *slabs_find(const void *item, unsigned *number, size_t *offset);
void	*slabs_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *pflag, int wait);
void	 slabs_free(void *memory, vm_size_t bytes, uint8_t pflag);

#endif
