/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* The zones of a trace: they are made to order, and destroyed. */

#include "zones.h"

#include <sys/malloc.h>

#define ZONE_NAME	"harness zones"

struct zones_zone zones[ZONES_MAX];

static bool keeps_pages;	/* a zone of this trace, which may be destroyed by now */

/* Whatever there was stays: something wrong may have left it in no state to be destroyed. */
void
zones_leave(void)
{
	memset(zones, 0, sizeof(zones));
	items_forget();
	readers_drop();
}

void
zones_start(unsigned patience)
{
	zones_leave();
	zones_forget_breakage();
	keeps_pages = false;
	memory_bring_back();
	memory_reset(patience);
	(void)items_shared_smr();	/* before what UMA uses is counted */
	own_start();
}

static uint32_t
flags_of(unsigned kind)
{
	uint32_t flags = 0;

	if ((kind & KIND_ROUNDROBIN) != 0)
		flags |= UMA_ZONE_ROUNDROBIN;
	else
		flags |= UMA_ZONE_FIRSTTOUCH;
	if ((kind & KIND_NOBUCKET) != 0)
		flags |= UMA_ZONE_NOBUCKET;
	if ((kind & KIND_HASHED) != 0)
		flags |= UMA_ZONE_NOTPAGE | UMA_ZONE_NOTOUCH;
	if ((kind & KIND_OFFPAGE) != 0)
		flags |= UMA_ZONE_NOTOUCH;
	if ((kind & KIND_SMR) != 0)
		flags |= UMA_ZONE_SMR;
	if ((kind & KIND_PCPU) != 0)
		flags |= UMA_ZONE_PCPU;
	if ((kind & KIND_NOFREE) != 0)
		flags |= UMA_ZONE_NOFREE;
	if ((kind & KIND_MAXBUCKET) != 0)
		flags |= UMA_ZONE_MAXBUCKET;
	if ((kind & KIND_SPREAD) != 0)
		flags |= UMA_ZONE_CACHESPREAD;
	if ((kind & KIND_CONTIG) != 0)
		flags |= UMA_ZONE_CONTIG;
	if ((kind & KIND_VM) != 0)
		flags |= UMA_ZONE_VM;
	if ((kind & KIND_UNMANAGED) != 0)
		flags |= UMA_ZONE_UNMANAGED;
	if ((kind & KIND_MALLOC) != 0)
		flags |= UMA_ZONE_MALLOC;
	if ((kind & KIND_NODUMP) != 0)
		flags |= UMA_ZONE_NODUMP;
	if ((kind & KIND_ZEROED) != 0)
		flags |= UMA_ZONE_ZINIT;
#ifdef UMA_ZONE_NOTRIM
	if ((kind & KIND_NOTRIM) != 0)
		flags |= UMA_ZONE_NOTRIM;
#endif
	return (flags);
}

static const char *
refusal_of(unsigned number, const struct zones_order *order)
{
	if (number >= ZONES_MAX || zones[number].zone != NULL)
		return ("zone-number-is-taken");
	if (order->size <= 0 || order->kind < 0 || (order->align > 0 && !powerof2(order->align)))
		return ("not-an-order");
	if ((order->kind & KIND_SECONDARY) == 0)
		return (NULL);
	if (order->primary < 0 || order->primary >= ZONES_MAX ||
	    zones[order->primary].zone == NULL ||
	    (zones[order->primary].kind & (KIND_CACHE | KIND_SECONDARY)) != 0)
		return ("no-such-primary-zone");
	return (NULL);
}

static uma_zone_t
made(unsigned number, const struct zones_order *order)
{
	const struct zones_callbacks *all = &zones_callbacks[number];
	bool constructs = (order->kind & KIND_CTOR) != 0, inits = (order->kind & KIND_INIT) != 0;
	bool zinits = (order->kind & KIND_ZINIT) != 0, later = (order->kind & KIND_SET_INIT) != 0;
	uma_ctor ctor = constructs ? all->ctor : NULL;
	uma_dtor dtor = constructs ? all->dtor : NULL;
	uma_init zinit = zinits ? all->zinit : NULL;
	uma_fini zfini = zinits ? all->zfini : NULL;
	uma_zone_t zone;

	if ((order->kind & KIND_SECONDARY) != 0)
		return (uma_zsecond_create(ZONE_NAME, ctor, dtor, zinit,
		    zinits ? zfini : all->trash, zones[order->primary].zone));
	if ((order->kind & KIND_CACHE) != 0)
		return (uma_zcache_create(ZONE_NAME, (int)order->size, ctor, dtor, zinit, zfini,
		    memory_import, memory_release, pool_of(number, (size_t)order->size),
		    (int)flags_of((unsigned)order->kind)));
	zone = uma_zcreate(ZONE_NAME, (size_t)order->size, ctor, dtor,
	    inits && !later ? all->init : NULL, inits && !later ? all->fini : NULL,
	    order->align > 0 ? (int)order->align - 1 : UMA_ALIGN_PTR,
	    flags_of((unsigned)order->kind));
	if (inits && later) {
		uma_zone_set_init(zone, all->init);
		uma_zone_set_fini(zone, all->fini);
	}
	if (zinits) {
		uma_zone_set_zinit(zone, zinit);
		uma_zone_set_zfini(zone, zfini);
	}
	if ((order->kind & KIND_SHARED_SMR) != 0)
		uma_zone_set_smr(zone, items_shared_smr());
	if ((order->kind & KIND_STOCK) == 0 && order->kva <= 0) {
		uma_zone_set_allocf(zone, memory_alloc);
		uma_zone_set_freef(zone, memory_free);
	}
	if (order->reserve > 0)
		uma_zone_reserve(zone, (int)order->reserve);
	return (zone);
}

/* Who has asked for address space gets that much, and its pages for ever. */
static bool
reserve(struct zones_zone *each, int items)
{
	uma_keg_t keg = each->zone->uz_keg;

	if (uma_zone_reserve_kva(each->zone, items) == 0)
		return (false);
	each->reserved = howmany((unsigned long)items, keg->uk_ipers) * keg->uk_ppera * PAGE_SIZE;
	each->kind |= KIND_NOFREE;
	each->limited = true;
	keeps_pages = true;
	return (true);
}

/* As free(3), these take NULL. */
static void
free_nothing(const struct zones_zone *each)
{
	if ((each->kind & KIND_PCPU) != 0)
		uma_zfree_pcpu_arg(each->zone, NULL, NULL);
	else if ((each->kind & KIND_SMR) == 0)
		uma_zfree_arg(each->zone, NULL, NULL);
}

/* A task that does nothing, when the zone is at its limit. */
static void
at_limit(uma_zone_t zone __unused, int pending __unused)
{
}

const char *
zones_make(unsigned number, const struct zones_order *order)
{
	const char *why = refusal_of(number, order);
	struct zones_zone *each;

	if (why != NULL)
		return (why);
	each = &zones[number];
	each->kind = (unsigned)order->kind;
	each->primary = (long)number;
	if ((each->kind & KIND_SECONDARY) != 0) {
		each->primary = order->primary;
		/* The keg's properties are its own, too; a context that was set later is none. */
		each->kind |= zones[order->primary].kind &
		    (KIND_ROUNDROBIN | KIND_HASHED | KIND_OFFPAGE | KIND_PCPU | KIND_NOFREE |
		    KIND_INIT | KIND_STOCK | KIND_SMR | KIND_MALLOC);
		if ((zones[order->primary].kind & KIND_SHARED_SMR) != 0)
			each->kind &= ~KIND_SMR;
	}
	if ((each->kind & KIND_SHARED_SMR) != 0)
		each->kind |= KIND_SMR;
	keeps_pages |= (each->kind & KIND_NOFREE) != 0;
	memory_forget_counts(number);
	each->zone = made(number, order);
	each->maxcache = -1;
	free_nothing(each);
	if ((each->kind & KIND_CACHE) == 0)
		each->align_mask = zones[each->primary].zone->uz_keg->uk_align;
	if ((each->kind & KIND_MAXACTION) != 0)
		uma_zone_set_maxaction(each->zone, at_limit);
	if (order->kva > 0 && !reserve(each, (int)order->kva))
		return ("no-address-space");
	if (order->limit >= 0) {
		uma_zone_set_max(each->zone, (int)order->limit);
		each->limited = order->limit > 0;
	}
	if (order->maxcache >= 0) {
		uma_zone_set_maxcache(each->zone, (int)order->maxcache);
		each->maxcache = order->maxcache;
	}
	return (NULL);
}

/* For other threads it is gone from the beginning on; the keg of a secondary zone is in use. */
void
zones_destroy(unsigned number)
{
	uma_zone_t zone = zones[number].zone;
	const struct task *task = &zone->uz_maxaction;
	unsigned primary = (unsigned)zones[number].primary;

	zones[number].leaves = true;
	zones[primary].busy++;
	uma_zdestroy(zone);
	zones[primary].busy--;
	memset(&zones[number], 0, sizeof(zones[number]));
	if (zones_task_is_queued(task))
		zones_broken("task-of-no-zone", "a zone is destroyed, and its task is queued still");
}

/* All items are freed, all caches drained, all zones destroyed: nothing of them stays. */
void
zones_end(bool closely)
{
	memory_bring_back();
	readers_leave(-1);
	for (unsigned slot = 0; slot < ZONES_SLOTS; slot++)
		if (zones_item[slot] != NULL) {
			items_free(slot);
			if (closely)
				check_at_rest();
		}
	check_at_rest();
	for (unsigned number = 0; number < ZONES_MAX; number++)
		if (zones[number].zone != NULL)
			uma_zone_reclaim(zones[number].zone, UMA_RECLAIM_DRAIN_CPU);
	check_at_rest();
	check_drained();
	if (zones_are_broken())
		return;
	/* Secondary zones before those that made the keg. */
	for (unsigned number = 0; number < ZONES_MAX; number++)
		if (zones[number].zone != NULL && (zones[number].kind & KIND_SECONDARY) != 0)
			zones_destroy(number);
	for (unsigned number = 0; number < ZONES_MAX; number++)
		if (zones[number].zone != NULL)
			zones_destroy(number);
	if (!keeps_pages && memory_slabs() != 0)
		zones_broken("destroy-leaves", "%ld slabs stay of zones that are destroyed",
		    memory_slabs());
	own_check(keeps_pages);
}
