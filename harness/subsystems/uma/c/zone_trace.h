/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef ZONE_TRACE_H
#define ZONE_TRACE_H

/*
 * A trace of operations on one zone: what zone_commands.c reads and
 * zone_trace.c does, in the check module and in the built-in guest.  The
 * functions of the last part are each guest's own.
 */

#include "protocol.h"

#define TRACE_CALLS	128	/* calls of the slab allocator that an answer can list */
#define TRACE_SLOTS	4096	/* items that a trace can hold */
#define TRACE_BY_CPU	(-2)	/* the domain of the CPU: uma_zalloc() */
#define TRACE_NO_SLOT	(-1)

#define ZONE_IS_ROUNDROBIN	0x1	/* else first-touch */
#define ZONE_IS_HASHED		0x2	/* slabs hash into the lists of domain 0 */

/* A zone to be made. */
struct zone_order {
	long	size;		/* of an item, in bytes */
	long	reserve;	/* items */
	long	flags;		/* ZONE_IS_* */
	long	patience;	/* the allocator gives in at this call of one operation */
};

/* An allocation to be made. */
struct zone_request {
	unsigned	slot;		/* of the item */
	int		cpu;
	int		domain;		/* or TRACE_BY_CPU */
	int		flags;		/* M_* */
	int		meanwhile;	/* slot of the item that is freed at the first call of
					   the slab allocator, or TRACE_NO_SLOT */
};

/* What an operation came to. */
struct zone_outcome {
	bool		item;		/* one was allocated: it is ... */
	unsigned	slab;		/* ... in the slab of this number, from 0 ... */
	unsigned	index;		/* ... at this place, ... */
	int		domain;		/* ... and its memory really lies here */
	unsigned	slept;		/* how often it had to be woken */
	unsigned	calls;		/* of the slab allocator, ... */
	uint8_t		call[TRACE_CALLS];	/* ... and the domains asked for */
};

/* What a keg has in one domain. */
struct zone_counters {
	unsigned	pages;		/* slabs' worth of ud_pages */
	unsigned	free_items;
	unsigned	free_slabs;
	unsigned	in_part_list;	/* slabs found by walking the lists */
	unsigned	in_free_list;
	unsigned	in_full_list;
};

/* What a thread did while its domain was short of memory. */
struct zone_starved {
	uint64_t	calls;		/* of the slab allocator */
	uint64_t	run_us;		/* CPU time of the thread */
	uint64_t	elapsed_us;
	uint64_t	wake_us;	/* from memory's coming back to the item */
	bool		asleep;		/* at the end of that time */
	bool		served;		/* it got its item in the end */
};

/* zone_commands.c, for probe_register(). */
bool		 zone_obey(void);

/*
 * zone_trace.c.  Those that return text return NULL, or why they cannot do it,
 * in letters and dashes.
 */
const char	*trace_zone(const struct zone_order *order, unsigned *ipers);
const char	*trace_discard(void);
const char	*trace_alloc(const struct zone_request *request, struct zone_outcome *outcome);
const char	*trace_free(unsigned slot, int cpu, struct zone_outcome *outcome);
const char	*trace_prealloc(unsigned items, int cpu, struct zone_outcome *outcome);
const char	*trace_drain(int domain, struct zone_outcome *outcome);
void		 trace_refuse(int domain, bool refuse);

/*
 * zone_trace.c, for the zone's slab allocator: logs a call, does what is to be
 * done meanwhile, and returns whether that domain is to have memory.
 */
bool		 trace_asks(int domain);
void		 trace_begin(unsigned patience);	/* an operation, or who asks without one */
uint64_t	 trace_calls(void);

/* Each guest's own: the zone, by the kernel's functions. */
const char	*zone_leave(const struct zone_order *next);	/* the one before, if next can be */
const char	*zone_make(const struct zone_order *order, unsigned *ipers);
bool		 zone_exists(void);
bool		 zone_is_first_touch(void);
const char	*zone_refuses(unsigned items, int flags);	/* to allocate so many */
void		*zone_alloc(int domain, int flags);
void		 zone_free(void *item);
void		 zone_prealloc(unsigned items);
void		 zone_drain(int domain);
void		 zone_destroy(void);
const char	*zone_find(const void *item, struct zone_outcome *outcome);
unsigned	 zone_place(void);
void		 zone_count(int domain, struct zone_counters *counters);
const char	*zone_starve(int domain, int cpu, unsigned milliseconds,
		    struct zone_starved *starved);
/* Runs it as on that CPU, where it may wait for memory or not; how often did it sleep? */
unsigned	 zone_run(int cpu, bool waits, void (*function)(void *), void *argument);

#endif
