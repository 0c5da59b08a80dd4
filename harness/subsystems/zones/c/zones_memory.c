/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * What lies below the zones of a trace: memory of exactly the domain that is
 * asked for, unless that domain is to be refused; pools that cache zones import
 * from.  Here, where no lock is held, another thread's operation is run.
 */

#include "zones.h"

#include <sys/domainset.h>
#include <sys/lock.h>
#include <sys/malloc.h>
#include <sys/mutex.h>
#include <sys/pcpu.h>
#include <sys/vmmeter.h>

#include <vm/pmap.h>
#include <vm/vm_extern.h>
#include <vm/vm_page.h>
#include <vm/vm_pagequeue.h>
#include <vm/vm_phys.h>

/* FreeBSD 14 turned addresses of kmem_malloc() and kmem_free() into pointers. */
typedef __typeof(kmem_malloc(0, 0)) kmem_address;

static struct {
	char	*memory;		/* NULL: not made yet */
	size_t	 size;			/* of an item */
	bool	 given[POOL_ITEMS];	/* to the zone */
} pools[ZONES_MAX];

static bool refused[ZONES_DOMAINS], exhausted[ZONES_DOMAINS];
static unsigned patience;
static long slabs_taken;		/* by zones of this trace */

/* Of the operation that runs. */
static PER_THREAD unsigned calls;	/* of the slab allocator */
static PER_THREAD long gaps;
static PER_THREAD long until_failure;	/* calls of what can fail; 0: none fails */
static PER_THREAD bool always_fails;	/* from then on */
static PER_THREAD const struct zones_operation *meanwhile;
static PER_THREAD bool has_refused, has_failed, has_failed_above, was_interrupted;
static PER_THREAD struct zones_request asked;

struct zones_request
memory_request(struct zones_request now)
{
	struct zones_request before = asked;

	asked = now;
	return (before);
}

void
memory_reset(unsigned limit)
{
	memset(refused, 0, sizeof(refused));
	for (unsigned number = 0; number < ZONES_MAX; number++)
		memset(pools[number].given, 0, sizeof(pools[number].given));
	patience = limit;
	slabs_taken = 0;
}

void
memory_begin(const struct zones_operation *operation)
{
	calls = 0;
	gaps = 0;
	until_failure = operation->fail;
	always_fails = operation->always;
	meanwhile = operation->meanwhile;
	has_refused = has_failed = has_failed_above = false;
	for (int domain = 0; domain < vm_ndomains; domain++)
		has_refused |= exhausted[domain];
	was_interrupted = zones_are_concurrent();
}

void
memory_end(void)
{
	until_failure = 0;
	meanwhile = NULL;
}

void
memory_try_again(void)
{
	calls = 0;
}

void
memory_refuse(int domain, bool refuse)
{
	refused[domain] = refuse;
}

/* A domain without pages is below its minimum, too. */
void
memory_exhaust_domain(int domain, bool exhaust)
{
	exhausted[domain] = exhaust;
	has_refused |= exhaust;
	zones_exhaust(domain, exhaust);
	memory_low(domain, exhaust);
}

void
memory_bring_back(void)
{
	for (int domain = 0; domain < vm_ndomains; domain++)
		if (exhausted[domain])
			memory_exhaust_domain(domain, false);
	memory_recover();
}

bool
memory_is_exhausted(int domain)
{
	return (exhausted[domain]);
}

bool
memory_was_refused(void)
{
	return (has_refused);
}

bool
memory_has_failed(void)
{
	return (has_failed);
}

bool
memory_has_failed_above(void)
{
	return (has_failed_above);
}

bool
memory_was_interrupted(void)
{
	return (was_interrupted);
}

static void
run_meanwhile(void)
{
	const struct zones_operation *operation = meanwhile;

	meanwhile = NULL;
	was_interrupted = true;
	zones_nested(operation);
}

bool
memory_interrupt(void)
{
	if (meanwhile == NULL || meanwhile->gap > 0)
		return (false);
	run_meanwhile();
	return (true);
}

void
memory_gap(void)
{
	if (meanwhile != NULL && meanwhile->gap > 0 && ++gaps == meanwhile->gap)
		run_meanwhile();
}

bool
memory_fails(bool above_keg)
{
	if (until_failure == 0 || --until_failure > 0)
		return (false);
	until_failure = always_fails ? 1 : 0;
	has_failed_above |= above_keg;
	return (has_failed = true);
}

const struct zones_request *
memory_asked(void)
{
	return (&asked);
}

/* --- slabs ---------------------------------------------------------------- */

/* Of slabs that were promised never to be freed, beside the kernel's own flags. */
#define SLAB_FOR_EVER	0x40

static bool
is_for_ever(int wait)
{
#ifdef M_NEVERFREED
	return ((wait & M_NEVERFREED) != 0);
#else
	(void)wait;
	return (false);
#endif
}

/* What the slab allocator is called with. */
static void
check_request(uma_zone_t zone, vm_size_t bytes, int domain, int wait)
{
	uma_keg_t keg = zone->uz_keg;
	uint32_t flags = keg->uk_flags;
	int wanted = asked.domain == ZONES_BY_CPU ? PCPU_GET(domain) : asked.domain;

	if (bytes != (vm_size_t)keg->uk_ppera * PAGE_SIZE)
		zones_broken("slab-request", "%zu bytes are asked for; slabs have %d pages",
		    (size_t)bytes, keg->uk_ppera);
	if (domain < 0 || domain >= vm_ndomains || VM_DOMAIN_EMPTY(domain))
		zones_broken("slab-request", "domain %d is asked for memory", domain);
	if (((wait & M_ZERO) == 0) != ((flags & UMA_ZONE_MALLOC) != 0) ||
	    ((wait & M_NODUMP) != 0) != ((flags & UMA_ZONE_NODUMP) != 0))
		zones_broken("slab-request", "a slab is asked for with flags %#x", wait);
	if (asked.flags == 0)
		return;
	if ((wait & M_WAITOK) != 0 && (asked.flags & M_WAITOK) == 0)
		zones_broken("slab-request", "a slab is waited for, and the allocation may not wait");
	if ((asked.flags & M_USE_RESERVE) == 0 && (flags & UMA_ZONE_FIRSTTOUCH) != 0 &&
	    !was_interrupted && !VM_DOMAIN_EMPTY(wanted) && domain != wanted)
		zones_broken("slab-domain", "a first-touch zone takes memory of domain %d, not %d",
		    domain, wanted);
}

void *
memory_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *pflag, int wait)
{
	const char *lock = zones_locked();
	void *memory;

	if (lock != NULL)
		zones_broken("lock-in-allocf", "lock %s is held while a slab is allocated", lock);
	check_request(zone, bytes, domain, wait);
	memory_interrupt();
	if (++calls < patience && refused[domain]) {
		has_refused = true;
		return (NULL);
	}
	*pflag = UMA_SLAB_PRIV | (is_for_ever(wait) ? SLAB_FOR_EVER : 0);
	memory = (void *)kmem_malloc_domainset(DOMAINSET_FIXED(domain), bytes,
	    wait & (M_NOWAIT | M_WAITOK | M_ZERO));
	if (memory == NULL)
		has_refused = true;
	else
		slabs_taken++;
	return (memory);
}

void
memory_free(void *memory, vm_size_t bytes, uint8_t pflag)
{
	if ((pflag & ~SLAB_FOR_EVER) != UMA_SLAB_PRIV)
		zones_broken("slab-flags", "a slab comes back with flags %#x, not %#x", pflag,
		    UMA_SLAB_PRIV);
	if ((pflag & SLAB_FOR_EVER) != 0)
		zones_broken("never-freed", "a slab is freed that was asked for with M_NEVERFREED");
	readers_check(memory, bytes, "in a slab that is freed");
	slabs_taken--;
	kmem_free((kmem_address)memory, bytes);
}

long
memory_slabs(void)
{
	return (slabs_taken);
}

/* --- pools ---------------------------------------------------------------- */

static long pages_of_pools;

long
pool_pages(void)
{
	return (pages_of_pools);
}

void *
pool_of(unsigned number, size_t size)
{
	if (pools[number].memory == NULL || pools[number].size != size) {
		/* Not given back: a zone that was left as it was may still have some of it. */
		pools[number].memory = (char *)kmem_malloc(round_page(POOL_ITEMS * size),
		    M_WAITOK | M_ZERO);
		pools[number].size = size;
		pages_of_pools += (long)howmany(POOL_ITEMS * size, PAGE_SIZE);
	}
	return (&pools[number]);
}

static unsigned
number_of(const void *pool)
{
	return ((unsigned)((const __typeof(pools[0]) *)pool - pools));
}

int
memory_import(void *pool, void **store, int count, int domain __unused, int flags __unused)
{
	unsigned number = number_of(pool);
	int given = 0;

	memory_interrupt();
	for (unsigned i = 0; i < POOL_ITEMS && given < count; i++) {
		if (pools[number].given[i])
			continue;
		if (memory_fails(true))
			return (given);		/* fewer than were asked for */
		pools[number].given[i] = true;
		store[given++] = pools[number].memory + i * pools[number].size;
	}
	if (given < count)
		has_refused = true;
	return (given);
}

/* The place of an item in the pool. */
size_t
pool_place(unsigned number, const void *item)
{
	return ((size_t)((const char *)item - pools[number].memory) / pools[number].size);
}

bool
pool_has_given(unsigned number, const void *item)
{
	size_t place = pool_place(number, item);

	return (place < POOL_ITEMS && pools[number].given[place] &&
	    (const char *)item == pools[number].memory + place * pools[number].size);
}

void
memory_release(void *pool, void **store, int count)
{
	unsigned number = number_of(pool);

	for (int i = 0; i < count; i++) {
		size_t place = pool_place(number, store[i]);

		if (!pool_has_given(number, store[i])) {
			zones_broken("released-twice", "an item is released that was not imported");
			return;
		}
		readers_check(store[i], 1, "released");
		pools[number].given[place] = false;
	}
}

unsigned
pool_given(unsigned number)
{
	unsigned count = 0;

	for (unsigned i = 0; i < POOL_ITEMS; i++)
		count += pools[number].given[i];
	return (count);
}
