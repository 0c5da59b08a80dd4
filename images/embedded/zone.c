/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* Zones: their making, their reserve, and the two ways in and out of them. */

#include "kasan.h"
#include "domainset.h"
#include "keg.h"
#include "malloc_flags.h"
#include "pool.h"

#define ZONES_MAX	8
#define ITEM_ALIGN	8	/* a pointer's, and what a shadow byte speaks for */

#ifdef KASAN
#define ITEM_REDZONE	16
#else
#define ITEM_REDZONE	0
#endif

/*
 * At this point of the boot the one CPU counts as of domain 0, wherever the
 * SRAT puts it: so does FreeBSD's until it applies the SRAT (SI_SUB_CPU).
 */
#define CURRENT_DOMAIN	0

static struct uma_keg kegs[ZONES_MAX];
static size_t keg_count;

static void *
page_alloc(struct uma_keg *keg, int domain, int flags)
{
	(void)keg;
	return (vm_page_alloc_domain(domain, flags));
}

/* As many items as fit into a page before the slab's header. */
static void
keg_layout(struct uma_keg *keg)
{
	/* Zones of the VM keep FreeBSD's layout with the sanitizer, too. */
	uint32_t redzone = (keg->uk_flags & UMA_ZONE_VM) != 0 ? 0 : ITEM_REDZONE;

	keg->uk_rsize = (uint32_t)roundup2(keg->uk_size, ITEM_ALIGN) + redzone;
	keg->uk_ipers = MIN((PAGE_SIZE - SLAB_HEADER_SIZE) / keg->uk_rsize, SLAB_ITEMS_MAX);
	KASSERT(keg->uk_ipers > 0, ("%s: %s: items of %u bytes", __func__, keg->uk_name,
	    keg->uk_size));
}

struct uma_keg *
uma_zcreate(const char *name, uint32_t size, uint32_t flags)
{
	struct uma_keg *keg = &kegs[keg_count];

	KASSERT(keg_count < ZONES_MAX, ("%s: too many zones", __func__));
	keg_count++;
	keg->uk_name = name;
	keg->uk_size = size;
	keg->uk_flags = flags;
	keg->uk_allocf = page_alloc;
	keg_layout(keg);
	return (keg);
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

void *
uma_zalloc_domain(struct uma_keg *keg, int domain, int flags)
{
	struct uma_slab *slab;
	void *item;

	if (vm_domain_empty(domain))
		domain = UMA_ANYDOMAIN;
	if ((slab = keg_fetch_slab(keg, domain, flags)) == NULL)
		return (NULL);
	item = slab_alloc_item(keg, slab);
	if ((flags & M_ZERO) != 0)
		memset(item, 0, keg->uk_size);
	return (item);
}

/* First touch: out of the domain of the CPU that asks. */
void *
uma_zalloc(struct uma_keg *keg, int flags)
{
	return (uma_zalloc_domain(keg, CURRENT_DOMAIN, flags));
}

void
uma_zfree(struct uma_keg *keg, void *item)
{
	slab_free_item(keg, item);
}

/* The zones in the order of their making; NULL behind the last. */
const struct uma_keg *
uma_keg_at(size_t index)
{
	return (index < keg_count ? &kegs[index] : NULL);
}
