/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef PROTOCOL_H
#define PROTOCOL_H

/*
 * The channel between "harness check" and a guest, from the guest's side.
 * Commands and answers are lines of the probe report's form, on a serial port
 * of their own:
 *
 *	@harness NNNN name key=value key=value *CCCCCCCC
 *
 * An answer has its command's number.  README.md tells all commands;
 * harness/check/protocol.py is the other side.  Both the kernel module and the
 * built-in guest are built with this file and provide the functions below.
 */

#ifdef _KERNEL
#include <sys/param.h>
#include <sys/systm.h>
#else
#include "kernel.h"
#endif

#include "crc32.h"

#define PROBE_CALLS	128	/* calls of the slab allocator that an answer can list */
#define PROBE_SLOTS	4096	/* items that a trace can hold */
#define PROBE_BY_CPU	(-2)	/* the domain of the CPU: uma_zalloc() */
#define PROBE_NO_SLOT	(-1)

#define PROBE_ROUNDROBIN	0x1	/* else first-touch */
#define PROBE_HASHED		0x2	/* slabs hash into the lists of domain 0 */

/* A zone to be made. */
struct probe_order {
	long	size;		/* of an item, in bytes */
	long	reserve;	/* items */
	long	flags;		/* PROBE_* */
	long	patience;	/* the allocator gives in at this call of one operation */
};

/* An allocation to be made. */
struct probe_request {
	unsigned	slot;		/* of the item */
	int		cpu;
	int		domain;		/* or PROBE_BY_CPU */
	int		flags;		/* M_* */
	int		meanwhile;	/* slot of the item that is freed at the first call of
					   the slab allocator, or PROBE_NO_SLOT */
};

/* What an operation came to. */
struct probe_outcome {
	bool		item;		/* one was allocated: it is ... */
	unsigned	slab;		/* ... in the slab of this number, from 0 ... */
	unsigned	index;		/* ... at this place, ... */
	int		domain;		/* ... and its memory really lies here */
	unsigned	slept;		/* how often it had to be woken */
	unsigned	calls;		/* of the slab allocator, ... */
	uint8_t		call[PROBE_CALLS];	/* ... and the domains asked for */
};

/* What a keg has in one domain. */
struct probe_counters {
	unsigned	pages;		/* slabs' worth of ud_pages */
	unsigned	free_items;
	unsigned	free_slabs;
	unsigned	in_part_list;	/* slabs found by walking the lists */
	unsigned	in_free_list;
	unsigned	in_full_list;
};

/* What a thread did while its domain was short of memory. */
struct probe_starved {
	uint64_t	calls;		/* of the slab allocator */
	uint64_t	run_us;		/* CPU time of the thread */
	uint64_t	elapsed_us;
	uint64_t	wake_us;	/* from memory's coming back to the item */
	bool		asleep;		/* at the end of that time */
	bool		served;		/* it got its item in the end */
};

/*
 * protocol.c: takes a byte of the channel.  A line that is none of ours is
 * answered with an error.
 */
void	probe_take(char c);

/*
 * protocol.c, for commands that are read and answered elsewhere: what is
 * registered looks at each command that protocol.c does not know by itself, and
 * returns whether it was its own and is answered.
 */
void	probe_register(bool (*obey)(void));
bool	probe_is_command(const char *name);
long	probe_number(const char *key);	/* -1: the command has none so called */
void	probe_begin(const char *name);	/* an answer to the command */
void	probe_field(const char *key, uint64_t number);
void	probe_finish(void);
void	probe_refused(const char *why);

/*
 * The guest's part.  Those that return text return NULL, or why they cannot
 * do it, in letters and dashes.
 */
void		 probe_send(const char *text, size_t length);
const char	*probe_guest(void);
int		 probe_domains(void);
int		 probe_cpus(void);

const char	*probe_zone(const struct probe_order *order, unsigned *ipers);
const char	*probe_discard(void);
const char	*probe_alloc(const struct probe_request *request, struct probe_outcome *outcome);
const char	*probe_free(unsigned slot, int cpu, struct probe_outcome *outcome);
const char	*probe_prealloc(unsigned items, int cpu, struct probe_outcome *outcome);
const char	*probe_drain(int domain, struct probe_outcome *outcome);
const char	*probe_starve(int domain, int cpu, unsigned milliseconds,
		    struct probe_starved *starved);
void		 probe_refuse(int domain, bool refuse);
void		 probe_low(int domain, bool low);
unsigned	 probe_place(void);
void		 probe_count(int domain, struct probe_counters *counters);

#endif
