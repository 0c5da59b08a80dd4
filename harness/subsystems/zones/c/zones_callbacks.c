/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* Constructors and initializers of zones, which fail when they are told to. */

#include "zones.h"

#include <sys/malloc.h>

#include <vm/uma_dbg.h>

/*
 * One of each for each zone, as none is told which zone it is for.  Counted is
 * how many items are initialized, or constructed, just now.
 */
static long initialized[ZONES_MAX], constructed[ZONES_MAX], keg_initialized[ZONES_MAX];

static int
prepare(long *count, bool above_keg)
{
	memory_interrupt();
	if (memory_fails(above_keg))
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

#define WRITTEN	0x77726974746e6172UL

/* Where neither the mark of an item nor the stamp of its use stands, if there is room. */
static void
write_to(unsigned number, void *item, int size)
{
	if ((zones[number].kind & KIND_WRITES) != 0)
		((uint64_t *)item)[(size_t)size / sizeof(uint64_t) - 1] = WRITTEN;
}

static int
zinit(unsigned number, void *item, int size)
{
	int error = prepare(&initialized[number], true);

	if (error == 0)
		write_to(number, item, size);
	return (error);
}

/* free(9) and smr(9) have no argument of the caller's. */
static bool
is_of(unsigned number, int size, const void *cookie)
{
	bool has_none = (zones[number].kind & (KIND_SMR | KIND_MALLOC)) != 0;

	return (cookie == (has_none ? NULL : &zones_cookies[number]) &&
	    size == (int)zones[number].zone->uz_size);
}

/* One that fails leaves items as they are: half made. */
static int
ctor(unsigned number, void *item, int size, const void *cookie, int flags)
{
	int waits = M_NOWAIT | M_WAITOK;

	if (!is_of(number, size, cookie) ||
	    (memory_asked()->flags != 0 && (flags & waits) != (memory_asked()->flags & waits)))
		zones_broken("constructor-arguments", "a constructor is called for %d bytes with %p "
		    "and flags %#x", size, cookie, flags);
	write_to(number, item, size);
	return (prepare(&constructed[number], true));
}

static void
dtor(unsigned number, const void *item, int size, const void *cookie)
{
	readers_check(item, 1, "destroyed");
	if (!is_of(number, size, cookie))
		zones_broken("destructor-arguments", "a destructor is called for %d bytes with %p",
		    size, cookie);
	constructed[number]--;
}

#define CALLBACKS(n)								\
static int zinit_##n(void *item, int size, int flags __unused)			\
{ return (zinit(n, item, size)); }						\
static void zfini_##n(void *item, int size)					\
{ initialized[n]--; leave_as_trash(n, item, size); }				\
static void trash_##n(void *item, int size)					\
{ leave_as_trash(n, item, size); }						\
static int init_##n(void *item __unused, int size __unused, int flags __unused)	\
{ return (prepare(&keg_initialized[n], false)); }					\
static void fini_##n(void *item __unused, int size __unused)			\
{ keg_initialized[n]--; }							\
static int ctor_##n(void *item, int size, void *arg, int flags)		\
{ return (ctor(n, item, size, arg, flags)); }					\
static void dtor_##n(void *item, int size, void *arg)				\
{ dtor(n, item, size, arg); }

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
