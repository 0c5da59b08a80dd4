/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Domains below their minimum of free pages.  For a trace it is enough to say
 * so, in vm_min_domains, which is all that the iterators and vm_wait_domain()
 * look at.  To measure how a thread waits, the pages are really taken.
 */

#include "check.h"

#include <sys/domainset.h>
#include <sys/lock.h>
#include <sys/mutex.h>
#include <sys/time.h>
#include <sys/vmmeter.h>

#include <vm/vm.h>
#include <vm/vm_param.h>
#include <vm/vm_page.h>
#include <vm/vm_phys.h>
#include <vm/vm_pagequeue.h>

extern struct mtx_padalign vm_domainset_lock;

static domainset_t said_low;
static struct pglist taken = TAILQ_HEAD_INITIALIZER(taken);

void
memory_low(int domain, bool low)
{
	mtx_lock(&vm_domainset_lock);
	if (low) {
		DOMAINSET_SET(domain, &said_low);
		DOMAINSET_SET(domain, &vm_min_domains);
	} else if (DOMAINSET_ISSET(domain, &said_low)) {
		DOMAINSET_CLR(domain, &said_low);
		DOMAINSET_CLR(domain, &vm_min_domains);
	}
	wakeup(&vm_min_domains);
	mtx_unlock(&vm_domainset_lock);
}

/* Just these domains.  All at once: who is woken must not find some of them wrong. */
void
memory_short(unsigned domains)
{
	mtx_lock(&vm_domainset_lock);
	for (int domain = 0; domain < vm_ndomains; domain++)
		if ((domains >> domain & 1) != 0) {
			DOMAINSET_SET(domain, &said_low);
			DOMAINSET_SET(domain, &vm_min_domains);
		} else if (DOMAINSET_ISSET(domain, &said_low)) {
			DOMAINSET_CLR(domain, &said_low);
			DOMAINSET_CLR(domain, &vm_min_domains);
		}
	wakeup(&vm_min_domains);
	mtx_unlock(&vm_domainset_lock);
}

void
memory_recover(void)
{
	memory_short(0);
}

uint64_t
now_us(void)
{
	return ((uint64_t)(sbinuptime() / SBT_1US));
}

/*
 * Takes what the domain has, so that it is well below its minimum, but not in
 * severe want: UMA would then take back free slabs of every zone
 * (vm_pageout_lowmem()), which this measures nothing of, and some kernels with
 * INVARIANTS do not survive: kmapent_alloc() may ask for pages of one domain at
 * an address whose reservation is another's.
 */
bool
memory_take(int domain)
{
	const struct vm_domain *vmd = VM_DOMAIN(domain);
	u_int low = (vmd->vmd_free_min + vmd->vmd_free_severe) / 2;
	vm_page_t page;

	while (vmd->vmd_free_count > low &&
	    (page = vm_page_alloc_noobj_domain(domain, VM_ALLOC_WIRED)) != NULL)
		TAILQ_INSERT_TAIL(&taken, page, plinks.q);
	return (vm_page_count_min_domain(domain));
}

/* Gives it back; when was the domain above its minimum again? */
uint64_t
memory_give_back(int domain)
{
	uint64_t enough = 0;
	vm_page_t page;

	while ((page = TAILQ_FIRST(&taken)) != NULL) {
		TAILQ_REMOVE(&taken, page, plinks.q);
		vm_page_unwire_noq(page);
		vm_page_free(page);
		if (enough == 0 && !vm_page_count_min_domain(domain)) {
			enough = now_us();
			pause("hcgive", 1);	/* who waits may need this CPU */
		}
	}
	return (enough);
}
