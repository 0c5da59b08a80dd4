/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef KERN_H
#define KERN_H

/* The kernel half: compiled with the tree's headers, so that structures agree. */

#include <sys/param.h>
#include <sys/systm.h>

#include "hostside.h"

/* Kinds of endings (harness/onhost/ending.py). */
#define END_PANIC	"panic"		/* the kernel's own assertion or panic */
#define END_INVARIANT	"invariant"	/* a broken invariant that the kernel does not check */
#define END_ASLEEP	"asleep"	/* a thread sleeps, and nothing can wake it */
#define END_DEADLOCK	"deadlock"	/* all threads wait for locks of each other */
#define END_STARVATION	"starvation"	/* a thread runs without progress */
#define END_EXHAUSTED	"exhausted"	/* the program's own memory is exhausted */

void	 kern_end(const char *kind, const char *format, ...) __attribute__((noreturn));

/* cpus.c */
void	 cpus_start(int cpus, const int *domain_of_cpu);
void	 cpus_move(int cpu);
void	 cpus_migrate(unsigned thread, int cpu);
void	 cpus_enter(struct thread *td, int cpu);
bool	 cpus_are_bound(void);	/* the thread that runs is bound to its CPU */
void	 cpus_gap(void);	/* the thread that runs could be preempted */
struct kern_thread;
void	 thread_init_own(struct kern_thread *thread, unsigned number);

/* Of the program's own thread, where it is alone; NULL: nothing is done. */
extern void (*kern_gap)(void);		/* others may run: it holds no lock */
extern void (*kern_make_way)(int cpu);	/* it needs a CPU, or waits for readers of smr(9) */
#define EVERY_CPU	(-1)

/* locks.c */
void	 locks_contend(volatile uintptr_t *word);	/* another thread has it, up to the next lock */
void	 locks_begin(void);	/* an operation begins */
unsigned locks_held(void);
struct lock_object;
const char *lock_name(const struct lock_object *lock);
const char *locks_last(void);	/* the name of the lock that was taken last and is held */

/* memory.c */
void	 memory_start(int domains, unsigned empty);
long	 memory_pages_used(void);
void	 memory_exhaust(int domain, bool exhausted);	/* it has no pages for anybody */

/* tasks.c */
struct task;
void	 run_tasks(void);
bool	 task_is_queued(const struct task *task);

/* sleep.c */
void	 sleep_handler(void (*wake)(void));	/* called while the thread sleeps; NULL: none */
bool	 run_timeouts(void);			/* timeout tasks; false: there are none */

/* Declares a subsystem's function to call at the start, once CPUs and memory are set up. */
#define ON_START(function)						\
	static void (*const start_##function)(void)			\
	    __attribute__((used, section("set_harness_start"))) = function

#endif
