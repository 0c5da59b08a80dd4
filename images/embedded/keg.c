/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Slabs and the choice among them: a reimplementation for one CPU of FreeBSD's
 * keg_fetch_slab() (sys/vm/uma_core.c) and of the functions that it calls.
 *
 * HARNESS_COMMIT is 0 for the kernel before the commit "uma: Improve
 * M_USE_RESERVE handling in keg_fetch_slab()", and 1 for the one after it. It
 * is used twice below, for the commit's two statements, and nowhere else.
 */

#include "domainset.h"
#include "kasan.h"
#include "keg.h"
#include "malloc_flags.h"
#include "numa.h"
#include "pool.h"

#define ITEMS_SIZE	(PAGE_SIZE - SLAB_HEADER_SIZE)

_Static_assert(sizeof(struct uma_slab) <= SLAB_HEADER_SIZE, "the header has its place");

static inline char *
slab_data(struct uma_slab *slab)
{
	return ((char *)slab - ITEMS_SIZE);
}

static void
list_insert(struct uma_slab *slab, struct uma_slab **list)
{
	slab->us_next = *list;
	slab->us_link = list;
	if (slab->us_next != NULL)
		slab->us_next->us_link = &slab->us_next;
	*list = slab;
}

static void
list_swap(struct uma_slab **left, struct uma_slab **right)
{
	struct uma_slab *slab = *left;

	*left = *right;
	*right = slab;
	if (*left != NULL)
		(*left)->us_link = left;
	if (*right != NULL)
		(*right)->us_link = right;
}

void
slab_move(struct uma_slab *slab, struct uma_slab **list)
{
	*slab->us_link = slab->us_next;
	if (slab->us_next != NULL)
		slab->us_next->us_link = slab->us_link;
	list_insert(slab, list);
}

/*
 * A slab with a free item, put on the list of partly used ones; by round-robin
 * also out of the domains behind, should this one's lists be empty.
 */
static struct uma_slab *
keg_first_slab(struct uma_keg *keg, int domain, bool rr)
{
	int start = domain;

	do {
		struct uma_domain *dom = &keg->uk_domain[domain];

		if (dom->ud_part_slab == NULL && dom->ud_free_slab != NULL) {
			dom->ud_free_slabs--;
			slab_move(dom->ud_free_slab, &dom->ud_part_slab);
		}
		if (dom->ud_part_slab != NULL)
			return (dom->ud_part_slab);
		if (rr)
			domain = (domain + 1) % vm_ndomains;
	} while (domain != start);
	return (NULL);
}

/* From what the domain has; the reserve is for those who may use it. */
static struct uma_slab *
keg_fetch_free_slab(struct uma_keg *keg, int domain, bool rr, int flags)
{
	uint32_t kept = (flags & M_USE_RESERVE) != 0 ? 0 : keg->uk_reserve;

	if (keg->uk_domain[domain].ud_free_items <= kept)
		return (NULL);
	return (keg_first_slab(keg, domain, rr));
}

/* A fresh slab, on the list of partly used ones: the caller takes an item. */
struct uma_slab *
keg_alloc_slab(struct uma_keg *keg, int domain, int flags)
{
	struct uma_domain *dom = &keg->uk_domain[domain];
	char *page = keg->uk_allocf(keg, domain, flags | M_ZERO);
	struct uma_slab *slab;

	if (page == NULL)
		return (NULL);
	slab = (struct uma_slab *)(page + ITEMS_SIZE);
	slab->us_domain = (uint8_t)domain;
	slab->us_freecount = (uint16_t)keg->uk_ipers;
	for (uint32_t item = 0; item < keg->uk_ipers; item++)
		slab->us_free[item / 64] |= 1UL << (item % 64);
	kasan_mark(page, 0, ITEMS_SIZE, KASAN_UMA_FREED);
	list_insert(slab, &dom->ud_part_slab);
	dom->ud_pages++;
	dom->ud_free_items += keg->uk_ipers;
	return (slab);
}

static void
keg_free_slab(struct uma_slab *slab)
{
	vm_page_free(slab_data(slab));
}

/*
 * Gives back the domain's free slabs, but those that the reserve needs beside
 * the free items of partly used slabs.  The smaller part is moved off the
 * list, from its head on, and so comes to lie the other way round.
 */
void
keg_drain_domain(struct uma_keg *keg, int domain)
{
	struct uma_domain *dom = &keg->uk_domain[domain];
	uint32_t partial = dom->ud_free_items - dom->ud_free_slabs * keg->uk_ipers;
	uint32_t lacking = keg->uk_reserve > partial ? keg->uk_reserve - partial : 0;
	uint32_t keep = MIN(dom->ud_free_slabs, howmany(lacking, keg->uk_ipers));
	uint32_t going = dom->ud_free_slabs - keep;
	struct uma_slab *gone = NULL, *slab;

	for (uint32_t i = 0; i < MIN(keep, going); i++)
		slab_move(dom->ud_free_slab, &gone);
	if (going > keep)
		list_swap(&gone, &dom->ud_free_slab);
	dom->ud_free_items -= going * keg->uk_ipers;
	dom->ud_free_slabs -= going;
	dom->ud_pages -= going;
	while ((slab = gone) != NULL) {
		gone = slab->us_next;
		keg_free_slab(slab);
	}
}

/* An existing slab of the domain, or a fresh one if the caller bears that. */
static struct uma_slab *
keg_fetch_domain(struct uma_keg *keg, int domain, bool rr, int flags)
{
	/* Round-robin must not sleep for one domain, but does so for all of them. */
	int allocation_flags = rr ? (flags & ~M_WAITOK) | M_NOWAIT : flags;
	struct uma_slab *slab = keg_fetch_free_slab(keg, domain, rr, flags);

	if (slab == NULL && (flags & M_NOVM) == 0)
		slab = keg_alloc_slab(keg, domain, allocation_flags);
	return (slab);
}

/* Domain after domain; the last one looked at is left in *domain. */
static struct uma_slab *
keg_fetch_any_domain(struct uma_keg *keg, int *domain, int flags)
{
	struct vm_domainset_iter iter;
	struct uma_slab *slab;

	vm_domainset_iter_policy_ref_init(&iter, &keg->uk_iter, domain);
	do {
		slab = keg_fetch_domain(keg, *domain, true, flags);
	} while (slab == NULL && vm_domainset_iter_policy(&iter, domain));
	return (slab);
}

/*
 * A slab with a free item, on the list of partly used ones: out of rdomain
 * (first touch), or out of any for UMA_ANYDOMAIN.
 */
struct uma_slab *
keg_fetch_slab(struct uma_keg *keg, int rdomain, int flags)
{
	KASSERT((flags & (M_WAITOK | M_NOVM)) != (M_WAITOK | M_NOVM),
	    ("%s: invalid flags %#x", __func__, (unsigned)flags));
	for (;;) {
		bool rr = rdomain == UMA_ANYDOMAIN;
		int domain = rdomain;
		struct uma_slab *slab;

		if (rr)
			slab = keg_fetch_any_domain(keg, &domain, flags);
		else
			slab = keg_fetch_domain(keg, domain, false, flags);
		if (slab != NULL)
			return (slab);
#if HARNESS_COMMIT
		/* The reserve may lie in another domain: look there before giving up. */
		if (!rr && (flags & M_USE_RESERVE) != 0) {
			rdomain = UMA_ANYDOMAIN;
			continue;
		}
#endif
		/* No lock was held over the search: someone may have freed an item. */
		if ((flags & M_WAITOK) == 0)
			return (keg_fetch_free_slab(keg, domain, rr, flags));
		if (rr)
			vm_wait_doms();
#if HARNESS_COMMIT
		else
			vm_wait_domain(domain);
#endif
	}
}

void *
slab_alloc_item(struct uma_keg *keg, struct uma_slab *slab)
{
	struct uma_domain *dom = &keg->uk_domain[slab->us_domain];
	size_t word = 0;
	uint32_t index;
	char *item;

	while (slab->us_free[word] == 0)
		word++;
	index = (uint32_t)(word * 64) + (uint32_t)__builtin_ctzl(slab->us_free[word]);
	slab->us_free[word] &= slab->us_free[word] - 1;
	slab->us_freecount--;
	dom->ud_free_items--;
	if (slab->us_freecount == 0)
		slab_move(slab, &dom->ud_full_slab);
	item = slab_data(slab) + index * keg->uk_rsize;
	kasan_mark(item, keg->uk_size, keg->uk_rsize, KASAN_GENERIC_REDZONE);
	return (item);
}

void
slab_free_item(struct uma_keg *keg, void *item)
{
	uintptr_t page = rounddown2((uintptr_t)item, PAGE_SIZE);
	struct uma_slab *slab = (struct uma_slab *)(page + ITEMS_SIZE);
	struct uma_domain *dom = &keg->uk_domain[slab->us_domain];
	size_t index = ((uintptr_t)item - page) / keg->uk_rsize;

	KASSERT((slab->us_free[index / 64] & 1UL << (index % 64)) == 0,
	    ("%s: %s: item freed twice", __func__, keg->uk_name));
	slab->us_free[index / 64] |= 1UL << (index % 64);
	slab->us_freecount++;
	dom->ud_free_items++;
	kasan_mark(item, 0, keg->uk_rsize, KASAN_UMA_FREED);
	if (slab->us_freecount == keg->uk_ipers) {
		slab_move(slab, &dom->ud_free_slab);
		dom->ud_free_slabs++;
	} else if (slab->us_freecount == 1)
		slab_move(slab, &dom->ud_part_slab);
}
