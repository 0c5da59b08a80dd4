/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The kernel map, and why it has a reserve: an entry that describes kernel
 * addresses is itself an item of a slab, and a slab needs kernel addresses.
 * The recursion ends at the reserve of the zone KMAP ENTRY (M_NOVM and
 * M_USE_RESERVE), as in FreeBSD's sys/vm/vm_map.c with a sanitizer.
 */

#include "boot.h"
#include "domainset.h"
#include "keg.h"
#include "malloc_flags.h"
#include "pmap.h"
#include "pool.h"
#include "vm_map.h"

#define KMAPENT_RESERVE	1

/* 96 bytes, as FreeBSD's: 42 to a slab. */
struct vm_map_entry {
	struct vm_map_entry	*next;
	vm_offset_t		 start;
	vm_offset_t		 end;
	uint64_t		 attributes[9];	/* of no meaning here but their size */
};

struct vm_map {
	struct vm_map_entry	*first;		/* by address */
	bool			 locked;
	bool			 replenish;	/* the reserve was used: refill it at unlock */
};

extern const char kernel_start[], kernel_end[];

static struct vm_map kernel_map;
static struct uma_keg *kmapentzone;

static __noinline struct vm_map_entry *
vm_map_entry_create(struct vm_map *map)
{
	struct vm_map_entry *entry;

	/* A fresh slab is out of the question while the map is being changed. */
	entry = uma_zalloc(kmapentzone, M_NOWAIT | M_NOVM);
	if (entry == NULL) {
		entry = uma_zalloc(kmapentzone, M_NOWAIT | M_NOVM | M_USE_RESERVE);
		map->replenish = true;
	}
	KASSERT(entry != NULL, ("vm_map_entry_create: kernel resources exhausted"));
	return (entry);
}

static __noinline void
vm_map_insert(struct vm_map *map, vm_offset_t start, vm_offset_t end)
{
	struct vm_map_entry **link = &map->first, *entry;

	while (*link != NULL && (*link)->end <= start)
		link = &(*link)->next;
	KASSERT(*link == NULL || end <= (*link)->start,
	    ("vm_map_insert: %#lx-%#lx is taken", start, end));
	entry = vm_map_entry_create(map);
	memset(entry, 0, sizeof(*entry));
	entry->start = start;
	entry->end = end;
	entry->next = *link;
	*link = entry;
}

static void
vm_map_lock(struct vm_map *map)
{
	map->locked = true;
}

static void
vm_map_unlock(struct vm_map *map)
{
	if (map->replenish) {
		uma_prealloc(kmapentzone, 1);
		map->replenish = false;
	}
	map->locked = false;
}

/* A page for the zone whose items describe it: enter its address first. */
static void *
kmapent_alloc(struct uma_keg *keg, int domain, int flags)
{
	bool locked = kernel_map.locked;
	char *page;

	(void)keg;
	if (!locked)
		vm_map_lock(&kernel_map);
	page = vm_page_alloc_domain(domain, flags | M_USE_RESERVE);
	if (page != NULL)
		vm_map_insert(&kernel_map, (vm_offset_t)page, (vm_offset_t)page + PAGE_SIZE);
	if (!locked)
		vm_map_unlock(&kernel_map);
	return (page);
}

/*
 * Tunable: the domain where the first slab, and so the reserve, shall lie.
 * The iterator advances before it reads, hence the place before that domain.
 */
static void
place_reserve(struct uma_keg *keg)
{
	const struct domainset *set = &domainset_roundrobin;
	int domain;

	if (!tunable_int("uma.prealloc_domain", &domain))
		return;
	for (int place = 0; place < set->ds_cnt; place++)
		if (set->ds_order[place] == domain) {
			keg->uk_iter = (unsigned)(place + set->ds_cnt - 1);
			return;
		}
	printf("uma.prealloc_domain=%d: no such domain with memory, ignored\n", domain);
}

void
vm_map_startup(void)
{
	_Static_assert(sizeof(struct vm_map_entry) == 96, "42 entries to a slab");

	kmapentzone = uma_zcreate("KMAP ENTRY", sizeof(struct vm_map_entry), UMA_ZONE_VM);
	place_reserve(kmapentzone);
	uma_zone_reserve(kmapentzone, KMAPENT_RESERVE + 1);
	uma_prealloc(kmapentzone, KMAPENT_RESERVE + 1);
	uma_zone_set_allocf(kmapentzone, kmapent_alloc);
}

/* Enters the ranges in use: the image, and the used part of the slabs' window. */
__noinline void
kmem_init(void)
{
	vm_map_lock(&kernel_map);
	vm_map_insert(&kernel_map, (vm_offset_t)kernel_start, (vm_offset_t)kernel_end);
	vm_map_insert(&kernel_map, VM_MIN_KERNEL_ADDRESS, kva_in_use());
	vm_map_unlock(&kernel_map);
}
