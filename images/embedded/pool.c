/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Physical pages by domain.  Pages are counted and handed out one at a time;
 * none is touched before that.  A slab stays with its keg, so none comes back.
 */

#include "malloc_flags.h"
#include "numa.h"
#include "pmap.h"
#include "pool.h"

#define FREE_RESERVED	2	/* pages kept for M_USE_RESERVE */
#define FREE_MIN	4	/* a domain with fewer is short of pages */

static struct vm_domain vm_dom[MAXMEMDOM];

static void
add_range(int domain, vm_paddr_t start, vm_paddr_t end)
{
	struct vm_domain *vmd = &vm_dom[domain];

	if (vmd->vmd_nranges == DOMAIN_RANGES_MAX) {
		printf("vm: domain %d has too many ranges, %#lx-%#lx left out\n", domain, start,
		    end);
		return;
	}
	vmd->vmd_ranges[vmd->vmd_nranges++] = (struct phys_range) { start, end };
	vmd->vmd_page_count += (end - start) / PAGE_SIZE;
	vmd->vmd_free_count = vmd->vmd_page_count;
}

void
vm_page_startup(void)
{
	uint64_t pages = 0;

	numa_each_range(add_range);
	for (int domain = 0; domain < vm_ndomains; domain++)
		pages += vm_dom[domain].vmd_page_count;
	printf("avail memory = %lu (%lu MB)\n", pages * PAGE_SIZE, pages * PAGE_SIZE >> 20);
	for (int domain = 0; domain < vm_ndomains; domain++)
		printf("vm: domain %d has %lu pages\n", domain, vm_dom[domain].vmd_page_count);
}

const struct vm_domain *
vm_domain(int domain)
{
	return (&vm_dom[domain]);
}

bool
vm_domain_empty(int domain)
{
	return (vm_dom[domain].vmd_page_count == 0);
}

bool
vm_page_count_min_domain(int domain)
{
	return (vm_dom[domain].vmd_free_count < FREE_MIN);
}

/* A page, mapped into the kernel; NULL: this domain has none to give. */
void *
vm_page_alloc_domain(int domain, int flags)
{
	struct vm_domain *vmd = &vm_dom[domain];
	uint64_t kept = (flags & M_USE_RESERVE) != 0 ? 0 : FREE_RESERVED;
	struct phys_range *range = vmd->vmd_ranges;
	void *mapped;

	if (vmd->vmd_free_count <= kept)
		return (NULL);
	while (range->start == range->end)
		range++;
	if ((mapped = pmap_map(range->start)) == NULL)
		return (NULL);
	range->start += PAGE_SIZE;
	vmd->vmd_free_count--;
	if ((flags & M_ZERO) != 0)
		memset(mapped, 0, PAGE_SIZE);
	return (mapped);
}

/* All that is free goes into use until someone waits for pages of this domain. */
void
vm_page_exhaust_domain(int domain)
{
	struct vm_domain *vmd = &vm_dom[domain];

	vmd->vmd_inactive_count += vmd->vmd_free_count;
	vmd->vmd_free_count = 0;
}

/*
 * The page daemon's turn.  It has this one only: who waits where nothing can
 * be laundered sleeps for good, as nobody else runs who could free a page.
 */
static void
vm_pageout(int domain)
{
	struct vm_domain *vmd = &vm_dom[domain];

	vmd->vmd_free_count += vmd->vmd_inactive_count;
	vmd->vmd_inactive_count = 0;
}

/* Sleeps until the domain has pages; returns at once unless it is short of them. */
void
vm_wait_domain(int domain)
{
	if (!vm_page_count_min_domain(domain))
		return;
	vm_pageout(domain);
	if (vm_page_count_min_domain(domain))
		cpu_halt();
}

/* The same for all domains: enough when one of them has pages. */
void
vm_wait_doms(void)
{
	for (int domain = 0; domain < vm_ndomains; domain++)
		vm_pageout(domain);
	for (int domain = 0; domain < vm_ndomains; domain++)
		if (!vm_page_count_min_domain(domain))
			return;
	cpu_halt();
}
