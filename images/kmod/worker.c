/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Operations run on the CPU that they are told.  Those that may sleep until
 * memory comes back run in a thread of their own: somebody must be there to see
 * that and bring it.
 */

#include "check.h"

#include <sys/kernel.h>
#include <sys/kthread.h>
#include <sys/lock.h>
#include <sys/mutex.h>
#include <sys/pcpu.h>
#include <sys/proc.h>
#include <sys/sched.h>
#include <sys/smp.h>

#define EAGER_LOOKS	200	/* at the end of an operation, before waiting by ticks */

static struct mtx worker_mtx;
static struct thread *worker;
static void (*worker_function)(void *);
static void *worker_argument;
static int worker_cpu;
static volatile bool worker_busy;

static void
move_to(int cpu)
{
	thread_lock(curthread);
	if (!sched_is_bound(curthread) || PCPU_GET(cpuid) != cpu)
		sched_bind(curthread, cpu);
	thread_unlock(curthread);
}

/* Off that CPU: a thread that never sleeps there would let nobody else run. */
void
step_aside(int cpu)
{
	int other;

	CPU_FOREACH(other)
		if (other != cpu) {
			move_to(other);
			break;
		}
}

static void
worker_main(void *unused __unused)
{
	for (;;) {
		mtx_lock(&worker_mtx);
		while (!worker_busy)
			mtx_sleep(&worker_function, &worker_mtx, 0, "hcwork", 0);
		mtx_unlock(&worker_mtx);
		move_to(worker_cpu);
		worker_function(worker_argument);
		mtx_lock(&worker_mtx);
		worker_busy = false;
		wakeup(&worker_mtx);
		mtx_unlock(&worker_mtx);
	}
}

int
worker_start(void)
{
	struct proc *process;
	int error;

	mtx_init(&worker_mtx, "harness_check worker", NULL, MTX_DEF);
	error = kproc_create(worker_main, NULL, &process, 0, 0, "harness_worker");
	if (error == 0)
		worker = FIRST_THREAD_IN_PROC(process);
	return (error);
}

void
worker_begin(int cpu, void (*function)(void *), void *argument)
{
	mtx_lock(&worker_mtx);
	worker_cpu = cpu;
	worker_function = function;
	worker_argument = argument;
	worker_busy = true;
	wakeup(&worker_function);
	mtx_unlock(&worker_mtx);
}

bool
worker_done(void)
{
	for (int look = 0; look < EAGER_LOOKS && worker_busy; look++)
		cpu_spinwait();
	mtx_lock(&worker_mtx);
	if (worker_busy)
		mtx_sleep(&worker_mtx, &worker_mtx, 0, "hcdone", 1);
	mtx_unlock(&worker_mtx);
	return (!worker_busy);
}

/* Whether a thread waits for memory, as vm_wait_doms() does. */
bool
thread_waits(struct thread *thread)
{
	bool waits;

	thread_lock(thread);
	waits = TD_ON_SLEEPQ(thread) && thread->td_wmesg != NULL &&
	    strcmp(thread->td_wmesg, "vmwait") == 0;
	thread_unlock(thread);
	return (waits);
}

bool
worker_asleep(void)
{
	return (thread_waits(worker));
}

/* What the thread sleeps for; NULL: it does not. */
const char *
worker_sleeps(void)
{
	const char *wmesg;

	thread_lock(worker);
	wmesg = TD_ON_SLEEPQ(worker) ? worker->td_wmesg : NULL;
	thread_unlock(worker);
	return (wmesg);
}

/* The thread's CPU time so far, what it is running just now included. */
uint64_t
worker_cpu_us(void)
{
	uint64_t ticks, since;

	thread_lock(worker);
	ticks = worker->td_runtime;
	if (TD_IS_RUNNING(worker) && worker->td_oncpu != NOCPU) {
		since = pcpu_find(worker->td_oncpu)->pc_switchtime;
		ticks += MAX(cpu_ticks(), since) - since;
	}
	thread_unlock(worker);
	return (cputick2usec(ticks));
}

void
run_on(int cpu, void (*function)(void *), void *argument)
{
	move_to(cpu);
	function(argument);
}

/* Runs it to its end; whenever it sleeps for memory, there is some again.  How often? */
unsigned
worker_run(int cpu, void (*function)(void *), void *argument)
{
	unsigned slept = 0;

	worker_begin(cpu, function, argument);
	while (!worker_done())
		if (worker_asleep()) {
			slept++;
			memory_recover();
		}
	return (slept);
}
