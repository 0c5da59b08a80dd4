/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef CHECK_H
#define CHECK_H

#include <sys/param.h>
#include <sys/systm.h>

#include <vm/uma.h>

#include "protocol.h"

/* slabs.c: the memory below the zone, which logs and refuses. */
void	 slabs_reset(unsigned patience);
void	 slabs_begin(void (*meanwhile)(void));
void	 slabs_log(struct probe_outcome *outcome);
uint64_t slabs_calls(void);
void	 slabs_set_patience(unsigned patience);
const char *slabs_find(const void *item, unsigned *number, size_t *offset);
void	*slabs_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *pflag, int wait);
void	 slabs_free(void *memory, vm_size_t bytes, uint8_t pflag);

/* worker.c: on which CPU things are done, and by whom. */
void	 run_on(int cpu, void (*function)(void *), void *argument);
void	 step_aside(int cpu);
int	 worker_start(void);
unsigned worker_run(int cpu, void (*function)(void *), void *argument);
void	 worker_begin(int cpu, void (*function)(void *), void *argument);
bool	 worker_done(void);
bool	 worker_asleep(void);
bool	 thread_waits(struct thread *thread);
uint64_t worker_cpu_us(void);

/* memory.c: domains that are short of memory, and are said to be. */
void	 memory_short(unsigned domains);
void	 memory_recover(void);
bool	 memory_take(int domain);
uint64_t memory_give_back(int domain);
uint64_t now_us(void);

/* zone.c */
uma_zone_t zone_now(void);
bool	 zone_is_first_touch(void);

#endif
