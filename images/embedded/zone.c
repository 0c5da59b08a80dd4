/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* Zones: their making, their reserve, and the two ways in and out of them. */

#include "kasan.h"
#include "domainset.h"
#include "keg.h"
#include "malloc_flags.h"
#include "numa.h"
#include "pool.h"

#define ZONES_MAX	8
#define ITEM_ALIGN	8	/* a pointer's, and what a shadow byte speaks for */

#ifdef KASAN
#define ITEM_REDZONE	16
#else
#define ITEM_REDZONE	0
#endif

static struct uma_keg kegs[ZONES_MAX];	/* without a name: not in use */

static void *
page_alloc(struct uma_keg *keg, int domain, int flags)
{
	(void)keg;
	return (vm_page_alloc_domain(domain, flags));
}

/* As many items as fit into a page before the slab's header; 0: not even one. */
static void
keg_layout(struct uma_keg *keg)
{
	/* Zones of the VM keep FreeBSD's layout with the sanitizer, too. */
	uint32_t redzone = (keg->uk_flags & UMA_ZONE_VM) != 0 ? 0 : ITEM_REDZONE;

	keg->uk_rsize = (uint32_t)roundup2(keg->uk_size, ITEM_ALIGN) + redzone;
	keg->uk_ipers = MIN((PAGE_SIZE - SLAB_HEADER_SIZE) / keg->uk_rsize, SLAB_ITEMS_MAX);
}

/* NULL: such an item does not fit into a page. */
struct uma_keg *
uma_zcreate(const char *name, uint32_t size, uint32_t flags)
{
	struct uma_keg *keg = kegs;

	while (keg < kegs + ZONES_MAX && keg->uk_name != NULL)
		keg++;
	KASSERT(keg < kegs + ZONES_MAX, ("%s: too many zones", __func__));
	*keg = (struct uma_keg) { .uk_size = size, .uk_flags = flags, .uk_allocf = page_alloc };
	keg_layout(keg);
	if (keg->uk_ipers == 0)
		return (NULL);
	keg->uk_name = name;
	return (keg);
}

/* All pages go back, which takes that all items were freed. */
void
uma_zdestroy(struct uma_keg *keg)
{
	keg->uk_reserve = 0;
	for (int domain = 0; domain < vm_ndomains; domain++) {
		keg_drain_domain(keg, domain);
		KASSERT(keg->uk_domain[domain].ud_pages == 0, ("%s: %s: items are in use",
		    __func__, keg->uk_name));
	}
	keg->uk_name = NULL;
}

void
uma_zone_reserve(struct uma_keg *keg, uint32_t items)
{
	keg->uk_reserve = items;
}

void
uma_zone_set_allocf(struct uma_keg *keg, uma_alloc *allocf)
{
	keg->uk_allocf = allocf;
}

/* Slabs for so many items, in the domains that the keg's iterator comes to. */
void
uma_prealloc(struct uma_keg *keg, uint32_t items)
{
	for (uint32_t slabs = howmany(items, keg->uk_ipers); slabs > 0; slabs--) {
		struct vm_domainset_iter iter;
		struct uma_slab *slab;
		int domain;

		vm_domainset_iter_policy_ref_init(&iter, &keg->uk_iter, &domain);
		while ((slab = keg_alloc_slab(keg, domain, M_NOWAIT)) == NULL)
			if (!vm_domainset_iter_policy(&iter, &domain))
				vm_wait_doms();
		slab_move(slab, &keg->uk_domain[slab->us_domain].ud_free_slab);
		keg->uk_domain[slab->us_domain].ud_free_slabs++;
	}
}

static void *
zone_alloc_item(struct uma_keg *keg, int domain, int flags)
{
	struct uma_slab *slab;
	void *item;

	if (domain != UMA_ANYDOMAIN && vm_domain_empty(domain))
		domain = UMA_ANYDOMAIN;
	if ((slab = keg_fetch_slab(keg, domain, flags)) == NULL)
		return (NULL);
	item = slab_alloc_item(keg, slab);
	if ((flags & M_ZERO) != 0)
		memset(item, 0, keg->uk_size);
	return (item);
}

/* First touch is out of the domain of the CPU that asks. */
void *
uma_zalloc(struct uma_keg *keg, int flags)
{
	bool rr = (keg->uk_flags & UMA_ZONE_ROUNDROBIN) != 0;

	return (zone_alloc_item(keg, rr ? UMA_ANYDOMAIN : pcpu_domain, flags));
}

void *
uma_zalloc_domain(struct uma_keg *keg, int domain, int flags)
{
	KASSERT((keg->uk_flags & UMA_ZONE_ROUNDROBIN) == 0,
	    ("%s: called with non-FIRSTTOUCH zone", __func__));
	return (zone_alloc_item(keg, domain, flags));
}

void
uma_zfree(struct uma_keg *keg, void *item)
{
	slab_free_item(keg, item);
}

/* The zones that are there; NULL behind the last. */
const struct uma_keg *
uma_keg_at(size_t index)
{
	for (const struct uma_keg *keg = kegs; keg < kegs + ZONES_MAX; keg++)
		if (keg->uk_name != NULL && index-- == 0)
			return (keg);
	return (NULL);
}
