/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* Accesses to memory as switch points, and what -fsanitize=thread calls before each. */

#include "threads.h"

#include <sys/pcpu.h>

#include "access.h"
#include "races.h"
#include "shadow.h"

void
access_atomic(struct access access, int order)
{
	shadow_check(access.object, access.size, access.writes);
	threads_point(POINT_ATOMIC, access.object);
	races_atomic(&access, order);
}

void
access_add(struct access access)
{
	shadow_check(access.object, access.size, access.writes);
	threads_point(POINT_ADD, access.object);
	races_atomic(&access, ORDER_BOTH);
}

void
access_load(struct access access)
{
	shadow_check(access.object, access.size, false);
	if (__predict_false(threads_see_accesses))
		threads_point(POINT_LOAD, access.object);
	races_access(&access);
}

void
access_store(struct access access)
{
	shadow_check(access.object, access.size, true);
	if (__predict_false(threads_see_accesses))
		threads_point(POINT_STORE, access.object);
	races_access(&access);
}

void
access_also(struct access access)
{
	shadow_check(access.object, access.size, access.writes);
	races_access(&access);
}

/* All fences together order what is before one and after another. */
void
access_fence(int order)
{
	static char all;

	if ((order & ORDER_RELEASE) != 0)
		races_release(&all);
	if ((order & ORDER_ACQUIRE) != 0)
		races_acquire(&all);
}

/*
 * What is of one CPU is accessed in critical sections.  At the first fence of
 * one, the CPU may still be taken from the thread, as right before it.
 */
void
access_interrupt_fence(void)
{
	struct kern_thread *thread = thread_now();
	struct pcpu *cpu;

	if (threads_count == 0)
		return;
	if (curthread->td_critnest == 0) {
		if (thread->in_section)
			races_release(pcpu_find((u_int)thread->cpu));
		thread->in_section = false;
	} else if (!thread->in_section) {
		thread->in_section = true;
		curthread->td_critnest--;
		cpu = pcpu_find((u_int)thread->cpu);
		threads_point(POINT_CRITICAL, cpu);
		curthread->td_critnest++;
		races_acquire(pcpu_find((u_int)thread->cpu));
	}
}

#define LOAD(name, size)						\
void __tsan_##name(void *object) { access_load(ACCESS(object, size, false)); }
#define STORE(name, size)						\
void __tsan_##name(void *object) { access_store(ACCESS(object, size, true)); }

LOAD(read1, 1) LOAD(read2, 2) LOAD(read4, 4) LOAD(read8, 8) LOAD(read16, 16)
LOAD(unaligned_read2, 2) LOAD(unaligned_read4, 4) LOAD(unaligned_read8, 8)
STORE(write1, 1) STORE(write2, 2) STORE(write4, 4) STORE(write8, 8) STORE(write16, 16)
STORE(unaligned_write2, 2) STORE(unaligned_write4, 4) STORE(unaligned_write8, 8)
/* One statement loads and stores: the load is the first of both. */
STORE(read_write1, 1) STORE(read_write2, 2) STORE(read_write4, 4) STORE(read_write8, 8)
STORE(unaligned_read_write2, 2) STORE(unaligned_read_write4, 4) STORE(unaligned_read_write8, 8)

void
__tsan_init(void)
{
}

/* Copies that the compiler made of assignments. */
void *
__tsan_memcpy(void *to, const void *from, size_t length)
{
	access_also(ACCESS(from, length, false));
	access_store(ACCESS(to, length, true));
	return (memcpy(to, from, length));
}

void *
__tsan_memmove(void *to, const void *from, size_t length)
{
	access_also(ACCESS(from, length, false));
	access_store(ACCESS(to, length, true));
	return (memmove(to, from, length));
}

void *
__tsan_memset(void *to, int byte, size_t length)
{
	access_store(ACCESS(to, length, true));
	return (memset(to, byte, length));
}
