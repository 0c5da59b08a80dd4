/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* What images/kmod/worker.c does in a guest: operations on the CPU that they are told. */

#include "kern.h"

#include <sys/lock.h>
#include <sys/mutex.h>
#include <sys/proc.h>

#include "check.h"

static unsigned slept;

void
run_on(int cpu, void (*function)(void *), void *argument)
{
	cpus_move(cpu);
	function(argument);
	if (locks_held() > 0)
		kern_end(END_INVARIANT, "an operation ends with a lock held: %s", locks_last());
	if (curthread->td_critnest != 0)
		kern_end(END_INVARIANT, "an operation ends in a critical section");
}

/* Whether a thread waits for memory, as vm_wait_doms() does. */
bool
thread_waits(struct thread *thread)
{
	return (thread->td_wmesg != NULL && strcmp(thread->td_wmesg, "vmwait") == 0);
}

static void
bring_memory(void)
{
	if (!thread_waits(curthread))
		kern_end(END_ASLEEP, "%s", curthread->td_wmesg);
	slept++;
	memory_recover();
}

unsigned
worker_run(int cpu, void (*function)(void *), void *argument)
{
	slept = 0;
	sleep_handler(bring_memory);
	run_on(cpu, function, argument);
	sleep_handler(NULL);
	return (slept);
}
