/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef THREADS_H
#define THREADS_H

/*
 * Threads: the program's own, and up to THREADS_MAX more that a command runs at
 * the same time, as coroutines with stacks of their own.  One runs until it
 * blocks, or is preempted at a switch point by the schedule.
 */

#include "kern.h"

#include <sys/lock.h>
#include <sys/mutex.h>
#include <sys/proc.h>

#define THREADS_MAX	4
#define HELD_MAX	64

struct kern_thread {
	struct thread	 td;		/* first, so that curthread is the thread */
	struct mtx	 sched_lock;	/* thread_lock() */
	unsigned	 number;	/* from 1; 0: the program's own */
	int		 cpu;
	bool		 ended;
	bool		 bound;		/* to its CPU */
	bool		 in_section;	/* a critical one, as far as its fences tell */
	unsigned long	 steps;		/* switch points since it last gave way */

	/* blocked until this is true; NULL: not blocked */
	bool		(*ready)(const struct kern_thread *);
	const struct lock_object *wanted;
	const volatile uintptr_t *wanted_word;
	uintptr_t	 wanted_value;

	const void	*slept_on;	/* the channel; NULL: awake */
	unsigned long	 slept_since;
	bool		 idle;		/* nobody else can run: what wakes it is up to the harness */
	void		(*handler)(void);

	const struct lock_object *held[HELD_MAX];
	unsigned	 held_count;
	unsigned long	 taken;		/* locks, in this operation */

	void		*stack_pointer;
	char		*stack;
	char		*variables;	/* PER_THREAD, while another thread runs */
};

/* The threads that a command runs; 0: there is the program's own thread alone. */
extern unsigned threads_count;
extern bool threads_see_accesses;	/* loads and stores are switch points, too */
extern struct kern_thread kern_threads[1 + THREADS_MAX];

static inline struct kern_thread *
thread_now(void)
{
	return ((struct kern_thread *)curthread);
}

/* Kinds of switch points; harness/onhost/schedules.py has their meaning. */
#define POINT_OPERATION	'o'
#define POINT_LOCK	'l'
#define POINT_UNLOCKED	'u'
#define POINT_ATOMIC	'a'
#define POINT_ADD	'd'	/* an atomic that nothing is read by, so that two may change places */
#define POINT_CRITICAL	'k'	/* the start of a critical section */
#define POINT_PREEMPT	'c'	/* its end */
#define POINT_MOVED	'p'	/* on another CPU */
#define POINT_WAKEUP	'w'
#define POINT_BLOCKED	'b'
#define POINT_LOAD	'r'
#define POINT_STORE	'm'
#define POINT_ENDED	'e'

void	 threads_switch(char kind, const void *object);

/* What other threads may see is about to be done with an object. */
static inline void
threads_point(char kind, const void *object)
{
	if (__predict_false(threads_count > 0))
		threads_switch(kind, object);
}

void	 threads_block(bool (*ready)(const struct kern_thread *));
bool	 threads_is_owner(uintptr_t word);	/* another thread, by the word of a lock */

/* How to run threads. */
struct threads_schedule {
	const char	*switches;	/* POINT>THREAD with commas between; NULL: see seed */
	unsigned long	 log_from;	/* switch points are told from this one on */
	bool		 logs;
	bool		 accesses;	/* loads and stores are switch points, too */
	uint64_t	 seed;		/* of random priorities */
	unsigned	 changes;	/* of priorities */
	unsigned long	 length;	/* switch points that they are spread over */
};

/* Runs body(1) to body(count) by the schedule; the number of switch points. */
unsigned long threads_run(unsigned count, void (*body)(unsigned),
	    const struct threads_schedule *schedule);

#endif
