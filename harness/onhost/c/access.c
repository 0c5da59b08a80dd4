/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* Accesses to memory as switch points, and what -fsanitize=thread calls before each. */

#include "threads.h"

#include <sys/pcpu.h>

#include "access.h"

void
access_atomic(const void *object)
{
	threads_point(POINT_ATOMIC, object);
}

void
access_add(const void *object)
{
	threads_point(POINT_ADD, object);
}

void
access_load(const void *object)
{
	if (__predict_false(threads_see_accesses))
		threads_point(POINT_LOAD, object);
}

void
access_store(const void *object)
{
	if (__predict_false(threads_see_accesses))
		threads_point(POINT_STORE, object);
}

/*
 * What is of one CPU is accessed in critical sections.  At the first fence of
 * one, the CPU may still be taken from the thread, as right before it.
 */
void
access_fence(void)
{
	struct kern_thread *thread = thread_now();

	if (threads_count == 0)
		return;
	if (curthread->td_critnest == 0)
		thread->in_section = false;
	else if (!thread->in_section) {
		thread->in_section = true;
		curthread->td_critnest--;
		threads_point(POINT_CRITICAL, pcpu_find((u_int)thread->cpu));
		curthread->td_critnest++;
	}
}

#define LOAD(name)	void __tsan_##name(void *object) { access_load(object); }
#define STORE(name)	void __tsan_##name(void *object) { access_store(object); }

LOAD(read1) LOAD(read2) LOAD(read4) LOAD(read8) LOAD(read16)
LOAD(unaligned_read2) LOAD(unaligned_read4) LOAD(unaligned_read8)
STORE(write1) STORE(write2) STORE(write4) STORE(write8) STORE(write16)
STORE(unaligned_write2) STORE(unaligned_write4) STORE(unaligned_write8)
/* One statement loads and stores: the load is the first of both. */
STORE(read_write1) STORE(read_write2) STORE(read_write4) STORE(read_write8)
STORE(unaligned_read_write2) STORE(unaligned_read_write4) STORE(unaligned_read_write8)

void
__tsan_init(void)
{
}

/* Copies that the compiler made of assignments. */
void *
__tsan_memcpy(void *to, const void *from, size_t length)
{
	access_store(to);
	return (memcpy(to, from, length));
}

void *
__tsan_memmove(void *to, const void *from, size_t length)
{
	access_store(to);
	return (memmove(to, from, length));
}

void *
__tsan_memset(void *to, int byte, size_t length)
{
	access_store(to);
	return (memset(to, byte, length));
}
