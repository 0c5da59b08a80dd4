/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef KEG_H
#define KEG_H

#include "kernel.h"

#define UMA_ANYDOMAIN		(-1)	/* by the keg's round-robin */
#define UMA_ZONE_VM		0x0001	/* used by the VM itself */
#define UMA_ZONE_ROUNDROBIN	0x0002	/* the keg's iterator chooses; else first touch */

#define SLAB_ITEMS_MAX		256
#define SLAB_HEADER_SIZE	64	/* at the end of the slab's page */

/* A page of items.  It is on one of its domain's three lists. */
struct uma_slab {
	struct uma_slab	 *us_next;
	struct uma_slab	**us_link;	/* the pointer to this slab */
	uint64_t	  us_free[SLAB_ITEMS_MAX / 64];	/* a bit for each free item */
	uint16_t	  us_freecount;
	uint8_t		  us_domain;
};

/* What a keg has in one domain. */
struct uma_domain {
	struct uma_slab	*ud_part_slab;
	struct uma_slab	*ud_free_slab;
	struct uma_slab	*ud_full_slab;
	uint32_t	 ud_pages;
	uint32_t	 ud_free_items;
	uint32_t	 ud_free_slabs;
};

struct uma_keg;

/* Gives one page for a slab, out of the given domain; NULL: it has none. */
typedef void *uma_alloc(struct uma_keg *keg, int domain, int flags);

struct uma_keg {
	struct uma_domain uk_domain[MAXMEMDOM];
	const char	*uk_name;
	uma_alloc	*uk_allocf;
	unsigned	 uk_iter;	/* the place of the round-robin iterator */
	uint32_t	 uk_flags;
	uint32_t	 uk_reserve;	/* items kept for M_USE_RESERVE */
	uint32_t	 uk_size;	/* of an item, as asked for */
	uint32_t	 uk_rsize;	/* from one item to the next */
	uint32_t	 uk_ipers;	/* items in a slab */
};

/* keg.c */
struct uma_slab *keg_alloc_slab(struct uma_keg *keg, int domain, int flags);
struct uma_slab *keg_fetch_slab(struct uma_keg *keg, int rdomain, int flags);
void	keg_drain_domain(struct uma_keg *keg, int domain);
void	*slab_alloc_item(struct uma_keg *keg, struct uma_slab *slab);
void	slab_free_item(struct uma_keg *keg, void *item);
void	slab_move(struct uma_slab *slab, struct uma_slab **list);

/* zone.c: here a zone is no more than its keg, as with UMA_ZONE_NOBUCKET. */
struct uma_keg *uma_zcreate(const char *name, uint32_t size, uint32_t flags);
void	uma_zdestroy(struct uma_keg *keg);
void	uma_zone_reserve(struct uma_keg *keg, uint32_t items);
void	uma_zone_set_allocf(struct uma_keg *keg, uma_alloc *allocf);
void	uma_prealloc(struct uma_keg *keg, uint32_t items);
void	*uma_zalloc(struct uma_keg *keg, int flags);
void	*uma_zalloc_domain(struct uma_keg *keg, int domain, int flags);
void	uma_zfree(struct uma_keg *keg, void *item);
const struct uma_keg *uma_keg_at(size_t index);

#endif
