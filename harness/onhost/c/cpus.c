/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* CPUs: a struct pcpu each, at which the base register of the one thread points. */

#include "kern.h"

#include <sys/cpuset.h>
#include <sys/domainset.h>
#include <sys/lock.h>
#include <sys/mutex.h>
#include <sys/pcpu.h>
#include <sys/proc.h>
#include <sys/sched.h>
#include <sys/smp.h>

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
static struct thread thread;
static struct mtx thread_mtx;

struct pcpu *
pcpu_find(u_int cpu)
{
	return (&__pcpu[cpu]);
}

void
cpus_move(int cpu)
{
	if (PCPU_GET(cpuid) != (u_int)cpu)
		host_set_cpu(&__pcpu[cpu]);
}

void
sched_bind(struct thread *td, int cpu)
{
	(void)td;
	cpus_move(cpu);
}

void
sched_unbind(struct thread *td)
{
	(void)td;
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
	thread_mtx.mtx_lock = MTX_UNOWNED;
	thread_mtx.lock_object.lo_name = "sched lock";
	thread.td_lock = &thread_mtx;
	thread.td_proc = &process;
	thread.td_oncpu = 0;
	for (int cpu = 0; cpu < cpus; cpu++) {
		struct pcpu *pc = &__pcpu[cpu];

		pc->pc_curthread = &thread;
		pc->pc_cpuid = (u_int)cpu;
		pc->pc_domain = domain_of_cpu[cpu];
		pc->pc_prvspace = pc;
		pc->pc_zpcpu_offset = zpcpu_offset_cpu(cpu);
		cpuid_to_pcpu[cpu] = pc;
		CPU_SET(cpu, &all_cpus);
	}
	host_set_cpu(&__pcpu[0]);
}
