/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Items of a trace's zones: they are allocated and freed, and what can be said
 * of that by itself is looked at.
 */

#include "zones.h"

#include <sys/domainset.h>
#include <sys/counter.h>
#include <sys/lock.h>
#include <sys/malloc.h>
#include <sys/mutex.h>
#include <sys/pcpu.h>
#include <sys/proc.h>
#include <sys/smp.h>
#include <sys/smr.h>
#include <sys/vmmeter.h>

#include <vm/pmap.h>
#include <vm/vm_pagequeue.h>
#include <vm/vm_phys.h>

#define MARK	0x7a6f6e65736d6172UL	/* of an item that is held, at its start */
#define ROUNDS	5			/* of a steady use */
#define IN_ROUND	600		/* more than two of the largest buckets hold */
#define BATCH_MAX	8
#define LOOKS		3			/* of a reader at an item */

void *zones_item[ZONES_SLOTS];
uint8_t zones_item_zone[ZONES_SLOTS];

void
items_forget(void)
{
	memset(zones_item, 0, sizeof(zones_item));
}

/* --- items ---------------------------------------------------------------- */

static volatile uint64_t *
mark_of(void *item)
{
	return ((volatile uint64_t *)item);
}

/* Its number says whose item a constructor or a destructor is called for. */
char zones_cookies[ZONES_MAX];

/* free(9) hands over the slab. */
static void *
cookie_of(const struct zones_zone *each)
{
	return ((each->kind & KIND_MALLOC) != 0 ? NULL : &zones_cookies[each - zones]);
}

smr_t
items_shared_smr(void)
{
	static smr_t shared;

	if (shared == NULL)
		shared = smr_create("harness", 0, 0);
	return (shared);
}

static void
dispose(const struct zones_zone *each, void *item)
{
	if ((each->kind & KIND_SMR) != 0)
		uma_zfree_smr(each->zone, item);
	else if ((each->kind & KIND_PCPU) != 0)
		uma_zfree_pcpu_arg(each->zone, zpcpu_base_to_offset(item), cookie_of(each));
	else
		uma_zfree_arg(each->zone, item, cookie_of(each));
}

/* As the operation says; NULL: there is none. */
static void *
asked_for(const struct zones_zone *each, const struct zones_operation *operation)
{
	void *item;

	if ((each->kind & KIND_SMR) != 0)
		return (uma_zalloc_smr(each->zone, operation->flags));
	if ((each->kind & KIND_PCPU) != 0) {
		item = uma_zalloc_pcpu_arg(each->zone, cookie_of(each), operation->flags);
		return (item != NULL ? zpcpu_offset_to_base(item) : NULL);
	}
	if (operation->domain == ZONES_BY_CPU)
		return (uma_zalloc_arg(each->zone, cookie_of(each), operation->flags));
	return (uma_zalloc_domain(each->zone, cookie_of(each), (int)operation->domain,
	    operation->flags));
}

static void *
obtain(const struct zones_zone *each, const struct zones_operation *operation)
{
	struct zones_request now = { operation->flags, (int)operation->domain }, before;
	void *item;

	before = memory_request(now);
	item = asked_for(each, operation);
	memory_request(before);
	return (item);
}

/* Zones of the VM system take no pages for others, such as for buckets, when items are freed. */
static bool
takes_no_pages(const struct zones_zone *each)
{
	return ((each->kind & KIND_VM) != 0 && zones_are_alone());
}

static void
give(unsigned number, unsigned slot)
{
	struct zones_zone *each = &zones[number];
	void *item = zones_item[slot];
	long pages = takes_no_pages(each) ? own_pages(each->zone) : 0;

	if (*mark_of(item) != (MARK ^ slot))
		zones_broken("item-overwritten", "an item that is held was written to by others");
	*mark_of(item) = 0;
	zones_item[slot] = NULL;
	each->in_use--;
	each->busy++;
	if ((each->kind & KIND_SMR) != 0)
		readers_freed(each->zone->uz_smr, item);
	dispose(each, item);
	if (takes_no_pages(each) && !memory_was_interrupted() && own_pages(each->zone) > pages)
		zones_broken("pages-without-vm", "a free to a zone of the VM system takes pages for "
		    "other zones");
	each->busy--;
}

void
items_free(unsigned slot)
{
	if (zones_item[slot] != NULL)
		give(zones_item_zone[slot], slot);
}

static void
check_zeroed(const struct zones_zone *each, const char *item)
{
	for (uint32_t at = 0; at < each->zone->uz_size; at++)
		if (item[at] != 0) {
			zones_broken("not-zeroed", "M_ZERO: byte %u of an item is not zero", at);
			return;
		}
}

/* Each CPU has its own copy of a per-CPU item; all are zeroed, and written to by the user. */
static void
use_copies(const struct zones_zone *each, char *item, int flags)
{
	for (unsigned cpu = 1; cpu <= mp_maxid; cpu++) {
		char *copy = item + (size_t)cpu * UMA_PCPU_ALLOC_SIZE;

		if ((flags & M_ZERO) != 0)
			check_zeroed(each, copy);
		memset(copy, 0x5a, each->zone->uz_size);
	}
}

static uint64_t stamps;		/* of items of SMR zones, each another one */

/* The second word of an item says which use of it this is. */
static bool
has_stamp(const struct zones_zone *each)
{
	return ((each->kind & KIND_SMR) != 0 && each->zone->uz_size >= 2 * sizeof(uint64_t));
}

/* An item was handed out. */
static void
take(unsigned number, unsigned slot, void *item, int flags)
{
	if ((*mark_of(item) & ~(uint64_t)(ZONES_SLOTS - 1)) ==
	    (MARK & ~(uint64_t)(ZONES_SLOTS - 1)))
		zones_broken("item-twice", "an item is handed out that is held already");
	readers_check(item, 1, "handed out");
	if (((uintptr_t)item & zones[number].align_mask) != 0)
		zones_broken("item-misaligned", "an item is not aligned as its zone says");
	if ((flags & M_ZERO) != 0)
		check_zeroed(&zones[number], item);
	if ((zones[number].kind & KIND_PCPU) != 0)
		use_copies(&zones[number], item, flags);
	if (has_stamp(&zones[number]))
		mark_of(item)[1] = ++stamps;
	*mark_of(item) = MARK ^ slot;
	zones_item[slot] = item;
	zones_item_zone[slot] = (uint8_t)number;
	zones[number].in_use++;
}

/* --- allocations ---------------------------------------------------------- */

void
items_alloc(const struct zones_operation *operation)
{
	struct zones_zone *each = &zones[operation->zone];
	struct zones_before before = allocation_begin(operation, each);
	void *item;

	each->used = true;	/* from its beginning on */
	item = obtain(each, operation);
	if (item != NULL && zones_item[operation->slot] != NULL)
		dispose(each, item);	/* another thread has filled the slot meanwhile */
	else if (item != NULL)
		take((unsigned)operation->zone, (unsigned)operation->slot, item, operation->flags);
	allocation_check(operation, each, &before, item);
}

/* --- readers -------------------------------------------------------------- */

/*
 * Looks at an item as readers of smr(9) do: without a lock, while its owner may
 * free it.  Until the reader leaves its section nobody else gets the item.
 */
void
items_read(const struct zones_operation *operation)
{
	struct zones_zone *each = &zones[zones_item_zone[operation->slot]];
	volatile uint64_t *item;
	uint64_t stamp;

	if (zones_item[operation->slot] == NULL || !has_stamp(each))
		return;
	each->busy++;
	smr_enter(each->zone->uz_smr);
	readers_note(each->zone->uz_smr);
	if ((item = *(void *volatile *)&zones_item[operation->slot]) != NULL) {
		stamp = item[1];
		for (int look = 0; look < LOOKS; look++) {
			zones_pause();
			if (item[1] != stamp) {
				zones_broken("read-changed",
				    "an item is used again while a reader looks at it");
				break;
			}
		}
	}
	readers_forget(zones_cpu());
	smr_exit(each->zone->uz_smr);
	each->busy--;
}

/* --- steady use ----------------------------------------------------------- */

static void
use_a_few(const struct zones_zone *each, const struct zones_operation *operation, long count)
{
	void *held[BATCH_MAX];

	for (long i = 0; i < count; i++) {
		memory_try_again();
		held[i] = obtain(each, operation);
	}
	for (long i = 0; i < count; i++)
		if (held[i] != NULL)
			dispose(each, held[i]);
}

/* A few items are allocated and freed again and again, on one CPU: no round may need more. */
void
items_steady(const struct zones_operation *operation)
{
	struct zones_zone *each = &zones[operation->zone];
	long count = operation->number % BATCH_MAX + 1;
	unsigned grown = 0;

	each->used = true;
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned pages = own_keg_pages(each->zone->uz_keg);

		for (long i = 0; i < IN_ROUND; i += count)
			use_a_few(each, operation, count);
		grown += own_keg_pages(each->zone->uz_keg) > pages;
	}
	if (grown == ROUNDS)
		zones_broken("memory-grows", "%u rounds of %d items, used and freed on one CPU, "
		    "take more memory each", ROUNDS, IN_ROUND);
}

bool
items_can_use(const struct zones_operation *operation)
{
	unsigned kind = zones[operation->zone].kind;

	/* Headers elsewhere are of a stock zone, whose allocator asserts (malloc2vm_flags()). */
	if ((kind & (KIND_HASHED | KIND_OFFPAGE | KIND_PCPU | KIND_STOCK)) != 0 &&
	    (operation->flags & (M_USE_RESERVE | M_NOWAIT)) == M_USE_RESERVE)
		return (false);
	return (operation->domain == ZONES_BY_CPU ||
	    (kind & (KIND_ROUNDROBIN | KIND_SMR | KIND_PCPU | KIND_HASHED | KIND_CACHE)) == 0);
}

bool
items_can_alloc(const struct zones_operation *operation)
{
	return (zones_item[operation->slot] == NULL && items_can_use(operation));
}
