/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef DOMAINSET_H
#define DOMAINSET_H

#include "check.h"

#include <vm/vm.h>

/* How an iterator is made; those from CALL_PAGE on are stepped by vm_domainset_iter_page(). */
enum iterator_call {
	CALL_POLICY,	/* policy_init: a set, and the thread's place */
	CALL_REF,	/* policy_ref_init */
	CALL_PAGE,	/* page_init without an object: the thread's policy */
	CALL_OBJECT,	/* page_init of an object with a policy */
	CALL_THREAD,	/* page_init of an object without one: the thread's policy */
	CALLS
};

/* What the caller may wait for. */
#define WAIT_NO		0x1
#define WAIT_OK		0x2
#define WAIT_FAIL	0x4

#define NO_COLOR	(-1)

/* An iterator to be made. */
struct iterator_order {
	enum iterator_call call;
	long	policy;		/* index into the policies, as they are listed in domainset.c */
	long	domains;	/* mask */
	long	prefer;		/* -1: none */
	long	place;		/* dr_iter */
	long	wait;		/* WAIT_* */
	long	pindex;
	long	color;		/* of the object; NO_COLOR: it has no reservations */
};

/* An iterator after a call. */
struct iterator_state {
	int	 domain;
	int	 error;
	unsigned place;
	int	 wait;		/* WAIT_*: what the init function leaves of the flags */
	bool	 minskip;
	bool	 masked;	/* it has masks, ... */
	unsigned valid, remain, min;
	unsigned n;		/* ... or else this */
	bool	 interleaves;
	uint64_t offset;
	unsigned slept;
};

const char *iterator_start(const struct iterator_order *order, int cpu,
	    struct iterator_state *state);
const char *iterator_step(int cpu, unsigned wake, struct iterator_state *state);
const char *iterator_ignore(int domain);
vm_object_t iterator_object(void);

#endif
