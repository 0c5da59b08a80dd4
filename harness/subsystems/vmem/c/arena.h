/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef ARENA_H
#define ARENA_H

#include "check.h"

#include <sys/vmem.h>

#define ARENA_SLOTS	64	/* allocations at a time */
#define ARENA_IMPORTS	64	/* imported spans at a time */

/* An arena to be created. */
struct arena_setup {
	long	quantum;
	long	base, size;	/* its span, or that of the arena it imports from */
	long	imports;	/* size of imports; 0: it does not import */
	bool	releases;	/* imported spans go back when they are free */
	bool	reclaims;	/* frees the lowest slot when it is exhausted */
};

/* A request; a negative number is a constraint that is not given. */
struct arena_request {
	long	slot;
	long	size;
	long	fit;		/* 0: best, 1: first, 2: next */
	long	align, phase, nocross, minaddr, maxaddr;
};

/* What there is to see after an operation. */
struct arena_state {
	int		 error;
	vmem_addr_t	 address;
	vmem_size_t	 alloc, free, maxfree, imported;
	unsigned	 reclaimed;
};

const char *arena_create(const struct arena_setup *setup, struct arena_state *state);
const char *arena_alloc(const struct arena_request *request, struct arena_state *state);
const char *arena_free(long slot, struct arena_state *state);
const char *arena_add(long base, long size, struct arena_state *state);
const char *arena_limit(long size, struct arena_state *state);
void arena_discard(void);

#endif
