/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The round-robin iterator over domains, as in FreeBSD 13's
 * sys/vm/vm_domainset.c: it ADVANCES BEFORE IT READS its place.  From place 0
 * the first domain is therefore the second in order: the very first slab of a
 * keg lands in domain 1 where there is one.
 */

#include "domainset.h"
#include "numa.h"
#include "pool.h"

struct domainset domainset_roundrobin;

void
domainset_init(void)
{
	struct domainset *set = &domainset_roundrobin;

	for (int domain = 0; domain < vm_ndomains; domain++)
		if (!vm_domain_empty(domain))
			set->ds_order[set->ds_cnt++] = domain;
	if (set->ds_cnt == 0)
		panic("domainset_init: no domain has memory");
}

static int
vm_domainset_iter_rr(struct vm_domainset_iter *iter)
{
	const struct domainset *set = &domainset_roundrobin;

	return (set->ds_order[++*iter->di_iter % (unsigned)set->ds_cnt]);
}

static void
vm_domainset_iter_first(struct vm_domainset_iter *iter, int *domain)
{
	iter->di_n = domainset_roundrobin.ds_cnt;
	*domain = vm_domainset_iter_rr(iter);
}

void
vm_domainset_iter_policy_ref_init(struct vm_domainset_iter *iter, unsigned *place, int *domain)
{
	iter->di_iter = place;
	iter->di_minskip = true;
	vm_domainset_iter_first(iter, domain);
	if (vm_page_count_min_domain(*domain))
		vm_domainset_iter_policy(iter, domain);
}

/*
 * The next domain; false when all have been visited.  The first pass leaves
 * out those short of pages, the second visits all.
 */
bool
vm_domainset_iter_policy(struct vm_domainset_iter *iter, int *domain)
{
	while (--iter->di_n != 0) {
		*domain = vm_domainset_iter_rr(iter);
		if (!iter->di_minskip || !vm_page_count_min_domain(*domain))
			return (true);
	}
	if (!iter->di_minskip)
		return (false);
	iter->di_minskip = false;
	vm_domainset_iter_first(iter, domain);
	return (true);
}
