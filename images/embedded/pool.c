/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Physical pages by domain.  Pages are counted and handed out one at a time;
 * none is touched before that.  Those that come back hold each other's numbers.
 */

#include "malloc_flags.h"
#include "numa.h"
#include "pmap.h"
#include "pool.h"

#define FREE_RESERVED	2	/* pages kept for M_USE_RESERVE */
#define FREE_MIN	4	/* a domain with fewer is short of pages */

static struct vm_domain vm_dom[MAXMEMDOM];
static unsigned sleeps;

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
	return (vm_dom[domain].vmd_low || vm_dom[domain].vmd_free_count < FREE_MIN);
}

/* Says that the domain is short of pages, however many it has. */
void
vm_page_low_domain(int domain, bool low)
{
	vm_dom[domain].vmd_low = low;
}

static vm_paddr_t *
next_freed(vm_paddr_t page)
{
	return (dmap_pointer(page));
}

/* A page, mapped into the kernel; NULL: this domain has none to give. */
void *
vm_page_alloc_domain(int domain, int flags)
{
	struct vm_domain *vmd = &vm_dom[domain];
	uint64_t kept = (flags & M_USE_RESERVE) != 0 ? 0 : FREE_RESERVED;
	struct phys_range *range = vmd->vmd_ranges;
	vm_paddr_t freed = vmd->vmd_freed;
	void *mapped;

	if (vmd->vmd_free_count <= kept)
		return (NULL);
	while (freed == 0 && range->start == range->end)
		range++;
	if ((mapped = pmap_map(freed != 0 ? freed : range->start)) == NULL)
		return (NULL);
	if (freed != 0)
		vmd->vmd_freed = *next_freed(freed);
	else
		range->start += PAGE_SIZE;
	vmd->vmd_free_count--;
	if ((flags & M_ZERO) != 0)
		memset(mapped, 0, PAGE_SIZE);
	return (mapped);
}

/* Takes back what vm_page_alloc_domain() gave. */
void
vm_page_free(void *mapped)
{
	vm_paddr_t page = pmap_unmap(mapped);
	struct vm_domain *vmd = &vm_dom[vm_phys_domain(page)];

	*next_freed(page) = vmd->vmd_freed;
	vmd->vmd_freed = page;
	vmd->vmd_free_count++;
}

/* All that is free goes into use until someone waits for pages of this domain. */
void
vm_page_exhaust_domain(int domain)
{
	struct vm_domain *vmd = &vm_dom[domain];

	vmd->vmd_inactive_count += vmd->vmd_free_count;
	vmd->vmd_free_count = 0;
}

static bool
vm_page_count_min_all(void)
{
	for (int domain = 0; domain < vm_ndomains; domain++)
		if (!vm_page_count_min_domain(domain))
			return (false);
	return (true);
}

/* A thread sleeps, so the page daemon runs, in all domains. */
static void
vm_pageout(void)
{
	sleeps++;
	for (int domain = 0; domain < vm_ndomains; domain++) {
		struct vm_domain *vmd = &vm_dom[domain];

		vmd->vmd_free_count += vmd->vmd_inactive_count;
		vmd->vmd_inactive_count = 0;
		vmd->vmd_low = false;
	}
}

/*
 * Sleeps until the domain has pages; returns at once unless it is short of
 * them.  The page daemon runs once only: a wait in a domain without pages
 * to launder never ends, as no other thread could free a page.
 */
void
vm_wait_domain(int domain)
{
	if (!vm_page_count_min_domain(domain))
		return;
	vm_pageout();
	if (vm_page_count_min_domain(domain))
		cpu_halt();
}

/* The same for all domains: enough when one of them has pages. */
void
vm_wait_doms(void)
{
	if (!vm_page_count_min_all())
		return;
	vm_pageout();
	if (vm_page_count_min_all())
		cpu_halt();
}

/* How often anybody has slept for pages. */
unsigned
vm_sleeps(void)
{
	return (sleeps);
}
