/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* Replaces the tree's vm_page.c if that does not compile: waits for memory. */

#include "kern.h"

#include <sys/domainset.h>
#include <sys/lock.h>
#include <sys/mutex.h>

#include <vm/vm.h>
#include <vm/vm_param.h>
#include <vm/vm_page.h>

domainset_t vm_min_domains;
struct mtx_padalign vm_domainset_lock = { .mtx_lock = MTX_UNOWNED };

int
vm_wait_doms(const domainset_t *wanted, int mflags)
{
	mtx_lock(&vm_domainset_lock);
	if (DOMAINSET_SUBSET(&vm_min_domains, wanted))
		return (msleep(&vm_min_domains, &vm_domainset_lock, PVM | PDROP | mflags,
		    "vmwait", 0));
	mtx_unlock(&vm_domainset_lock);
	return (0);
}

void
vm_wait_domain(int domain)
{
	domainset_t wanted;

	DOMAINSET_ZERO(&wanted);
	DOMAINSET_SET(domain, &wanted);
	vm_wait_doms(&wanted, 0);
}
