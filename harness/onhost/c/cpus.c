/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* CPUs: a struct pcpu each, at which the base register points of the thread that runs there. */

#include "threads.h"

#include <sys/cpuset.h>
#include <sys/domainset.h>
#include <sys/pcpu.h>
#include <sys/sched.h>
#include <sys/smp.h>
#include <sys/smr.h>

#include <vm/uma.h>

struct pcpu *__pcpu;
struct cpuhead cpuhead = STAILQ_HEAD_INITIALIZER(cpuhead);
struct pcpu *cpuid_to_pcpu[MAXCPU];
cpuset_t all_cpus;
int mp_ncpus = 1;
int mp_ncores = 1;
u_int mp_maxid;
volatile int smp_started = 1;

static struct proc process;

struct pcpu *
pcpu_find(u_int cpu)
{
	return (&__pcpu[cpu]);
}

/* Set by the part of a subsystem that runs others there. */
void (*kern_gap)(void);
void (*kern_make_way)(int cpu);

void
cpus_gap(void)
{
	if (__predict_false(kern_gap != NULL) && threads_count == 0 && locks_held() == 0 &&
	    curthread->td_critnest == 0)
		kern_gap();
}

/* The tree's smr_poll() waits for readers on other CPUs. */
bool	 tree_smr_poll(smr_t smr, smr_seq_t goal, bool wait);

bool
smr_poll(smr_t smr, smr_seq_t goal, bool wait)
{
	if (wait && kern_make_way != NULL && threads_count == 0)
		kern_make_way(EVERY_CPU);
	return (tree_smr_poll(smr, goal, wait));
}

/* A thread goes on, on a CPU. */
void
cpus_enter(struct thread *td, int cpu)
{
	__pcpu[cpu].pc_curthread = td;
	host_set_cpu(&__pcpu[cpu]);
}

/* The thread that runs goes to another CPU. */
void
cpus_move(int cpu)
{
	struct kern_thread *thread = thread_now();

	if (kern_make_way != NULL && threads_count == 0)
		kern_make_way(cpu);
	if (thread->cpu == cpu)
		return;
	thread->cpu = cpu;
	cpus_enter(&thread->td, cpu);
	threads_point(POINT_MOVED, &__pcpu[cpu]);
}

/*
 * The scheduler moves a thread that does not run: not one that is bound, or in a
 * critical section.
 */
void
cpus_migrate(unsigned number, int cpu)
{
	struct kern_thread *thread = &kern_threads[number];

	if (number == 0 || number > threads_count || thread == thread_now())
		return;
	threads_point(POINT_CRITICAL, pcpu_find((u_int)thread->cpu));
	if (!thread->ended && !thread->bound && thread->td.td_critnest == 0)
		thread->cpu = cpu;
}

/* What all threads have; its memory is zero. */
void
thread_init_own(struct kern_thread *thread, unsigned number)
{
	thread->number = number;
	thread->sched_lock.mtx_lock = MTX_UNOWNED;
	thread->sched_lock.lock_object.lo_name = "sched lock";
	thread->td.td_lock = &thread->sched_lock;
	thread->td.td_proc = &process;
}

void
sched_bind(struct thread *td, int cpu)
{
	(void)td;
	thread_now()->bound = true;
	cpus_move(cpu);
}

void
sched_unbind(struct thread *td)
{
	(void)td;
	thread_now()->bound = false;
}

bool
cpus_are_bound(void)
{
	return (thread_now()->bound);
}

int
sched_is_bound(struct thread *td)
{
	(void)td;
	return (1);
}

void
cpus_start(int cpus, const int *domain_of_cpu)
{
	_Static_assert(sizeof(struct pcpu) == UMA_PCPU_ALLOC_SIZE, "as zpcpu_get() takes it");

	mp_ncpus = mp_ncores = cpus;
	mp_maxid = (u_int)cpus - 1;
	__pcpu = host_memory((size_t)cpus * sizeof(*__pcpu), PAGE_SIZE);
	thread_init_own(&kern_threads[0], 0);
	kern_threads[0].td.td_owepreempt = 1;	/* so that ends of critical sections are seen */
	for (int cpu = 0; cpu < cpus; cpu++) {
		struct pcpu *pc = &__pcpu[cpu];

		pc->pc_curthread = &kern_threads[0].td;
		pc->pc_cpuid = (u_int)cpu;
		pc->pc_domain = domain_of_cpu[cpu];
		pc->pc_prvspace = pc;
		pc->pc_zpcpu_offset = zpcpu_offset_cpu(cpu);
		cpuid_to_pcpu[cpu] = pc;
		CPU_SET(cpu, &all_cpus);
	}
	host_set_cpu(&__pcpu[0]);
}
