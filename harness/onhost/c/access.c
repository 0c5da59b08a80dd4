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
access_memory(const void *object)
{
	if (__predict_false(threads_see_accesses))
		threads_point(POINT_ACCESS, object);
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

#define ACCESS(name)	void __tsan_##name(void *object) { access_memory(object); }

ACCESS(read1) ACCESS(read2) ACCESS(read4) ACCESS(read8) ACCESS(read16)
ACCESS(write1) ACCESS(write2) ACCESS(write4) ACCESS(write8) ACCESS(write16)
ACCESS(read_write1) ACCESS(read_write2) ACCESS(read_write4) ACCESS(read_write8)
ACCESS(unaligned_read2) ACCESS(unaligned_read4) ACCESS(unaligned_read8)
ACCESS(unaligned_write2) ACCESS(unaligned_write4) ACCESS(unaligned_write8)
ACCESS(unaligned_read_write2) ACCESS(unaligned_read_write4) ACCESS(unaligned_read_write8)

void
__tsan_init(void)
{
}

/* Copies that the compiler made of assignments. */
void *
__tsan_memcpy(void *to, const void *from, size_t length)
{
	access_memory(to);
	return (memcpy(to, from, length));
}

void *
__tsan_memmove(void *to, const void *from, size_t length)
{
	access_memory(to);
	return (memmove(to, from, length));
}

void *
__tsan_memset(void *to, int byte, size_t length)
{
	access_memory(to);
	return (memset(to, byte, length));
}
