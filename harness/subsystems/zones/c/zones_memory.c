/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * What lies below the zones of a trace: memory of exactly the domain that is
 * asked for, unless that domain is to be refused; pools that cache zones import
 * from; constructors and initializers that fail when they are told to.  Here,
 * where no lock is held, another thread's operation is run.
 */

#include "zones.h"

#include <sys/domainset.h>
#include <sys/malloc.h>
#include <sys/vmmeter.h>

#include <vm/pmap.h>
#include <vm/vm_extern.h>
#include <vm/vm_page.h>
#include <vm/vm_phys.h>
#include <vm/uma_dbg.h>


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
static PER_THREAD long until_failure;	/* calls of what can fail; 0: none fails */
static PER_THREAD bool always_fails;	/* from then on */
static PER_THREAD const struct zones_operation *meanwhile;
static PER_THREAD bool has_refused, has_failed, has_failed_above, was_interrupted;

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
	until_failure = operation->fail;
	always_fails = operation->always;
	meanwhile = operation->meanwhile;
	has_refused = has_failed = has_failed_above = false;
	for (int domain = 0; domain < vm_ndomains; domain++)
		has_refused |= exhausted[domain];
	was_interrupted = zones_are_concurrent();
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

bool
memory_interrupt(void)
{
	const struct zones_operation *operation = meanwhile;

	if (operation == NULL)
		return (false);
	meanwhile = NULL;
	was_interrupted = true;
	zones_nested(operation);
	return (true);
}

static bool
fails_now(void)
{
	if (until_failure == 0 || --until_failure > 0)
		return (false);
	until_failure = always_fails ? 1 : 0;
	return (has_failed = true);
}

/* What is called for a zone, and not for its keg. */
static bool
fails_above(void)
{
	bool fails = fails_now();

	has_failed_above |= fails;
	return (fails);
}

/* --- slabs ---------------------------------------------------------------- */

void *
memory_alloc(uma_zone_t zone __unused, vm_size_t bytes, int domain, uint8_t *pflag, int wait)
{
	const char *lock = zones_locked();
	void *memory;

	if (lock != NULL)
		zones_broken("lock-in-allocf", "lock %s is held while a slab is allocated", lock);
	memory_interrupt();
	if (++calls < patience && refused[domain]) {
		has_refused = true;
		return (NULL);
	}
	*pflag = UMA_SLAB_PRIV;
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
	if (pflag != UMA_SLAB_PRIV)
		zones_broken("slab-flags", "a slab comes back with flags %#x, not %#x", pflag,
		    UMA_SLAB_PRIV);
	slabs_taken--;
	kmem_free((kmem_address)memory, bytes);
}

long
memory_slabs(void)
{
	return (slabs_taken);
}

/* --- pools ---------------------------------------------------------------- */

void *
pool_of(unsigned number, size_t size)
{
	if (pools[number].memory == NULL || pools[number].size != size) {
		/* Not given back: a zone that was left as it was may still have some of it. */
		pools[number].memory = (char *)kmem_malloc(round_page(POOL_ITEMS * size),
		    M_WAITOK | M_ZERO);
		pools[number].size = size;
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
		if (fails_above())
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

/* --- constructors and initializers ---------------------------------------- */

/*
 * One of each for each zone, as none is told which zone it is for.  Counted is
 * how many items are initialized, or constructed, just now.
 */
static long initialized[ZONES_MAX], constructed[ZONES_MAX], keg_initialized[ZONES_MAX];

static int
prepare(long *count, bool (*fails)(void))
{
	memory_interrupt();
	if (fails())
		return (ENOMEM);
	++*count;
	return (0);
}

/*
 * A keg that looks for use after free wants its items back as it gave them.  UMA
 * sees to that for the zone that made it; a secondary zone has to (kern_mbuf.c).
 */
static void
leave_as_trash(unsigned number, void *item, int size)
{
#ifdef INVARIANTS
	if ((zones[number].kind & KIND_SECONDARY) != 0 &&
	    zones[number].zone->uz_keg->uk_fini == trash_fini)
		trash_init(item, size, M_NOWAIT);
#else
	(void)number, (void)item, (void)size;
#endif
}

#define CALLBACKS(n)								\
static int zinit_##n(void *item __unused, int size __unused, int flags __unused)	\
{ return (prepare(&initialized[n], fails_above)); }						\
static void zfini_##n(void *item, int size)					\
{ initialized[n]--; leave_as_trash(n, item, size); }				\
static void trash_##n(void *item, int size)					\
{ leave_as_trash(n, item, size); }						\
static int init_##n(void *item __unused, int size __unused, int flags __unused)	\
{ return (prepare(&keg_initialized[n], fails_now)); }					\
static void fini_##n(void *item __unused, int size __unused)			\
{ keg_initialized[n]--; }							\
static int ctor_##n(void *item __unused, int size __unused, void *arg __unused,	\
    int flags __unused)								\
{ return (prepare(&constructed[n], fails_above)); }						\
static void dtor_##n(void *item __unused, int size __unused, void *arg __unused)	\
{ constructed[n]--; }

CALLBACKS(0) CALLBACKS(1) CALLBACKS(2) CALLBACKS(3)
_Static_assert(ZONES_MAX == 4, "as many as there are callbacks");

#define OF(n)	{ zinit_##n, zfini_##n, trash_##n, init_##n, fini_##n, ctor_##n, dtor_##n }

const struct zones_callbacks zones_callbacks[ZONES_MAX] = { OF(0), OF(1), OF(2), OF(3) };

long
memory_initialized(unsigned number)
{
	return (initialized[number]);
}

long
memory_keg_initialized(unsigned number)
{
	return (keg_initialized[number]);
}

long
memory_constructed(unsigned number)
{
	return (constructed[number]);
}

void
memory_forget_counts(unsigned number)
{
	initialized[number] = keg_initialized[number] = constructed[number] = 0;
}
