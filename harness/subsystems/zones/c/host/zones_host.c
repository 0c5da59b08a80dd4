/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* Zones in a host program: what is broken ends it, with its frames. */

#include "threads.h"

#include <sys/pcpu.h>
#include <sys/smp.h>

#include <machine/stdarg.h>

#include "zones.h"

void
zones_break(const char *name, const char *format, ...)
{
	static char text[256];
	__va_list arguments;

	va_start(arguments, format);
	host_format(text, sizeof(text), format, arguments);
	va_end(arguments);
	kern_end(END_INVARIANT, "%s: %s", name, text);
}

bool
zones_are_broken(void)
{
	return (false);
}

void
zones_forget_breakage(void)
{
}

const char *
zones_breakage(void)
{
	return (NULL);
}

/* The kernel has one thread for this, which runs it again when it has ended. */
bool
zones_timeout(void)
{
	static bool runs;
	bool there_are;

	if (runs)
		return (true);
	runs = true;
	there_are = run_timeouts();
	runs = false;
	return (there_are);
}

void
zones_exhaust(int domain, bool exhausted)
{
	memory_exhaust(domain, exhausted);
}

bool
zones_run_tasks(void)
{
	run_tasks();
	return (true);
}

bool
zones_task_is_queued(const struct task *task)
{
	return (task_is_queued(task));
}

long
zones_pages_used(void)
{
	return (memory_pages_used());
}

bool
zones_are_alone(void)
{
	return (true);
}

/* Nothing else runs in this program; but zones that stay use buckets, whose slabs have headers. */
bool
zones_only_uma_uses(uma_zone_t zone)
{
	return ((zone->uz_flags & UMA_ZFLAG_BUCKET) == 0 &&
	    strncmp(zone->uz_name, "UMA Slabs", 9) != 0);
}

/* Those of UMA that its callers hold are theirs; all others are too many. */
const char *
zones_locked(void)
{
	return (locks_held() > 0 ? locks_last() : NULL);
}

void
zones_move(int cpu)
{
	cpus_move(cpu);
}

void
zones_pause(void)
{
	threads_point(POINT_LOAD, NULL);
}

void
zones_migrate(unsigned thread, int cpu)
{
	cpus_migrate(thread, cpu);
}

int
zones_cpu(void)
{
	return (PCPU_GET(cpuid));
}

bool
zones_are_bound(void)
{
	return (cpus_are_bound());
}

bool
zones_can_wait_for_readers(void)
{
	return (true);
}

void
zones_contend(uma_zone_t zone, int domain)
{
	locks_contend(&ZDOM_GET(zone, domain)->uzd_lock.mtx_lock);
}

static void
watch(void)
{
	kern_gap = memory_gap;
	kern_make_way = readers_leave;
}
ON_START(watch);

bool
zones_are_concurrent(void)
{
	return (threads_count > 0);
}

static PER_THREAD bool (*waker)(const char *);

static void
wake_sleeper(void)
{
	if (!waker(curthread->td_wmesg))
		kern_end(END_ASLEEP, "%s", curthread->td_wmesg);
}

void
zones_wait(int cpu, void (*function)(void *), void *argument, bool (*wake)(const char *))
{
	waker = wake;
	sleep_handler(wake_sleeper);
	run_on(cpu, function, argument);
	sleep_handler(NULL);
}
