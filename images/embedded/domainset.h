/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef DOMAINSET_H
#define DOMAINSET_H

#include "kernel.h"

/* The domains with memory, in order: FreeBSD's round-robin policy. */
struct domainset {
	int	ds_cnt;
	int	ds_order[MAXMEMDOM];
};

struct vm_domainset_iter {
	unsigned	*di_iter;	/* the keg's own place in the order */
	int		 di_n;		/* domains left of this pass */
	bool		 di_minskip;	/* first pass: not those short of pages */
};

extern struct domainset domainset_roundrobin;

void	domainset_init(void);
void	vm_domainset_iter_policy_ref_init(struct vm_domainset_iter *iter, unsigned *place,
	    int *domain);
bool	vm_domainset_iter_policy(struct vm_domainset_iter *iter, int *domain);

#endif
