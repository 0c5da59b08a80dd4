/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* Zones in a guest: what is broken is answered, and the guest goes on. */

#include "zones.h"

#include <sys/lock.h>
#include <sys/mutex.h>
#include <sys/pcpu.h>
#include <sys/proc.h>
#include <sys/sched.h>

#include <machine/stdarg.h>

static char breakage[256];

static bool
may_stand_in_value(char c)
{
	return (strchr("._:,/-", c) != NULL || digit_of(c) < 10 || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z'));
}

/* Text as an answer's value: of characters that it may have, with + for blanks. */
static void
make_value(char *text)
{
	char *to = text;

	for (const char *from = text; *from != '\0'; from++)
		if (*from == ' ')
			*to++ = '+';
		else if (may_stand_in_value(*from))
			*to++ = *from;
	*to = '\0';
}

/* The first that is found. */
void
zones_break(const char *name, const char *format, ...)
{
	__va_list arguments;
	int length;

	if (breakage[0] != '\0')
		return;
	length = snprintf(breakage, sizeof(breakage), "%s: ", name);
	va_start(arguments, format);
	vsnprintf(breakage + length, sizeof(breakage) - (size_t)length, format, arguments);
	va_end(arguments);
	make_value(breakage);
}

bool
zones_are_broken(void)
{
	return (breakage[0] != '\0');
}

const char *
zones_breakage(void)
{
	return (breakage);
}

void
zones_forget_breakage(void)
{
	breakage[0] = '\0';
}

/* The kernel runs it by itself, all 20 s. */
bool
zones_timeout(void)
{
	return (false);
}

/* Its pages are the kernel's: none is taken away. */
void
zones_exhaust(int domain __unused, bool exhausted __unused)
{
}

bool
zones_run_tasks(void)
{
	return (false);
}

bool
zones_task_is_queued(const struct task *task __unused)
{
	return (false);
}

long
zones_pages_used(void)
{
	return (0);
}

bool
zones_are_alone(void)
{
	return (false);
}

/* Zones of smr(9); others are used by all the kernel, whatever a trace does. */
bool
zones_only_uma_uses(uma_zone_t zone)
{
	return (strncmp(zone->uz_name, "SMR ", 4) == 0);
}

const char *
zones_locked(void)
{
	return (NULL);
}

void
zones_move(int cpu)
{
	thread_lock(curthread);
	sched_bind(curthread, cpu);
	thread_unlock(curthread);
}

/* The harness's thread is always bound to its CPU. */
bool
zones_are_bound(void)
{
	return (false);
}

bool
zones_can_wait_for_readers(void)
{
	return (false);
}

/* Nobody else has locks of a trace's zones. */
void
zones_contend(uma_zone_t zone __unused, int domain __unused)
{
}

/* Threads run in a host program alone. */
void
zones_migrate(unsigned thread __unused, int cpu __unused)
{
}

void
zones_pause(void)
{
	cpu_spinwait();
}

int
zones_cpu(void)
{
	return (PCPU_GET(cpuid));
}

bool
zones_are_concurrent(void)
{
	return (false);
}

void
zones_wait(int cpu, void (*function)(void *), void *argument, bool (*wake)(const char *))
{
	zones_move(cpu);
	worker_begin(cpu, function, argument);
	while (!worker_done()) {
		const char *wmesg = worker_sleeps();

		if (wmesg != NULL)
			wake(wmesg);
	}
}
