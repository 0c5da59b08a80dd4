/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef CHECK_H
#define CHECK_H

#include <sys/param.h>
#include <sys/systm.h>

#include "protocol.h"

/*
 * A variable of which each thread has its own, where a host program runs
 * several (harness/onhost/c/threads.c); a guest has one worker.
 */
#define PER_THREAD	__attribute__((section("set_harness_thread")))

/* worker.c: on which CPU things are done, and by whom. */
void	 run_on(int cpu, void (*function)(void *), void *argument);
void	 step_aside(int cpu);
int	 worker_start(void);
unsigned worker_run(int cpu, void (*function)(void *), void *argument);
void	 worker_begin(int cpu, void (*function)(void *), void *argument);
bool	 worker_done(void);
bool	 worker_asleep(void);
const char *worker_sleeps(void);
bool	 thread_waits(struct thread *thread);
uint64_t worker_cpu_us(void);

/* renew.c: returns when the guest may be saved as a snapshot, if that was asked for. */
void	 renew_wait_for_init(void);

/* memory.c, beside what protocol.h has: domains that are short of memory, and are said to be. */
void	 memory_short(unsigned domains);
bool	 memory_take(int domain);
uint64_t memory_give_back(int domain);
uint64_t now_us(void);

#endif
