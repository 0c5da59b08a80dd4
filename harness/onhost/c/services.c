/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* Services of the kernel: malloc(9), printf(9), panic(9), strings, counter(9). */

#include "kern.h"

#include <sys/counter.h>
#include <sys/kernel.h>
#include <sys/limits.h>
#include <sys/malloc.h>
#include <sys/pcpu.h>
#include <sys/sbuf.h>
#include <sys/smp.h>
#include <sys/sysctl.h>

#include <machine/stdarg.h>

#include "races.h"

MALLOC_DEFINE(M_TEMP, "temp", "misc temporary data buffers");
MALLOC_DEFINE(M_DEVBUF, "devbuf", "device driver memory");

#define ALIGNMENT	16	/* of any type */

int cold;
int bootverbose;
bool scheduler_stopped;
struct taskqueue *taskqueue_thread;

/* --- malloc(9): memory of the host, which never fails ---------------------- */

#undef malloc
void *
malloc(size_t size, struct malloc_type *type, int flags)
{
	(void)type, (void)flags;
	races_acquire(M_TEMP);
	return (host_memory(size, ALIGNMENT));
}

void *
malloc_domainset(size_t size, struct malloc_type *type, struct domainset *ds, int flags)
{
	(void)ds;
	return (malloc(size, type, flags));
}

void
free(void *memory, struct malloc_type *type)
{
	(void)type;
	races_release(M_TEMP);
	host_release(memory);
}

char *
strdup(const char *text, struct malloc_type *type)
{
	size_t size = strlen(text) + 1;

	return (memcpy(malloc(size, type, M_WAITOK), text, size));
}

/* --- text ----------------------------------------------------------------- */

size_t
strlcpy(char * __restrict target, const char * __restrict source, size_t size)
{
	size_t length = strlen(source);

	if (size > 0) {
		size_t copied = MIN(length, size - 1);

		memcpy(target, source, copied);
		target[copied] = '\0';
	}
	return (length);
}

int
vsnprintf(char *text, size_t size, const char *format, __va_list arguments)
{
	return (host_format(text, size, format, arguments));
}

int
snprintf(char *text, size_t size, const char *format, ...)
{
	__va_list arguments;
	int length;

	va_start(arguments, format);
	length = host_format(text, size, format, arguments);
	va_end(arguments);
	return (length);
}

int
sprintf(char *text, const char *format, ...)
{
	__va_list arguments;
	int length;

	va_start(arguments, format);
	length = host_format(text, INT_MAX, format, arguments);
	va_end(arguments);
	return (length);
}

static char printed[512];

int
vprintf(const char *format, __va_list arguments)
{
	int length = host_format(printed, sizeof(printed), format, arguments);

	host_log(printed);
	return (length);
}

int
printf(const char *format, ...)
{
	__va_list arguments;
	int length;

	va_start(arguments, format);
	length = vprintf(format, arguments);
	va_end(arguments);
	return (length);
}

void
kern_end(const char *kind, const char *format, ...)
{
	__va_list arguments;

	va_start(arguments, format);
	host_format(printed, sizeof(printed), format, arguments);
	va_end(arguments);
	host_end(kind, printed);
}

void
vpanic(const char *format, __va_list arguments)
{
	host_format(printed, sizeof(printed), format, arguments);
	host_end(END_PANIC, printed);
}

void
panic(const char *format, ...)
{
	__va_list arguments;

	va_start(arguments, format);
	vpanic(format, arguments);
}

#undef kassert_panic
void
kassert_panic(const char *format, ...)
{
	__va_list arguments;

	va_start(arguments, format);
	vpanic(format, arguments);
}

/* --- counter(9) ----------------------------------------------------------- */

counter_u64_t
counter_u64_alloc(int flags)
{
	(void)flags;
	return (zpcpu_base_to_offset(host_memory((size_t)mp_ncpus * UMA_PCPU_ALLOC_SIZE,
	    PAGE_SIZE)));
}

void
counter_u64_sysinit(void *counter)
{
	*(counter_u64_t *)counter = counter_u64_alloc(M_WAITOK);
}

void
counter_u64_free(counter_u64_t counter)
{
	host_release(zpcpu_offset_to_base(counter));
}

void
counter_u64_zero(counter_u64_t counter)
{
	for (int cpu = 0; cpu < mp_ncpus; cpu++)
		*(uint64_t *)zpcpu_get_cpu(counter, cpu) = 0;
}

uint64_t
counter_u64_fetch(counter_u64_t counter)
{
	uint64_t sum = 0;

	for (int cpu = 0; cpu < mp_ncpus; cpu++)
		sum += *(uint64_t *)zpcpu_get_cpu(counter, cpu);
	return (sum);
}

/* --- sysctl(9): there are no nodes ---------------------------------------- */

#undef sysctl_add_oid
struct sysctl_oid *
sysctl_add_oid(struct sysctl_ctx_list *list, struct sysctl_oid_list *parent, int number,
    const char *name, int kind, void *arg1, intmax_t arg2, int (*handler)(SYSCTL_HANDLER_ARGS),
    const char *format, const char *description, const char *label)
{
	static struct sysctl_oid oid;

	(void)list, (void)parent, (void)number, (void)name, (void)kind, (void)arg1, (void)arg2;
	(void)handler, (void)format, (void)description, (void)label;
	return (&oid);
}
