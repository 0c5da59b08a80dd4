/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */

#include "libc.h"
#include "syscall.h"
#include "sysctl.h"

#define FORMAT_MAX	64
#define TYPE_MASK	0xf

/* The sysctls about sysctls (sys/sys/sysctl.h). */
enum {
	CTL_SYSCTL = 0,
	CTL_SYSCTL_NAME = 1,
	CTL_SYSCTL_NEXT = 2,
	CTL_SYSCTL_NAME2OID = 3,
	CTL_SYSCTL_OIDFMT = 4,
};

/* On success, the number of bytes got. */
static bool
sysctl(const struct oid *oid, void *old, size_t *old_size, const void *new, size_t new_size)
{
	return (syscall(SYS___sysctl, (uintptr_t)oid->number, oid->length, (uintptr_t)old,
	    (uintptr_t)old_size, (uintptr_t)new, new_size) >= 0);
}

static bool
ask_about(int question, const struct oid *subject, void *answer, size_t *size)
{
	struct oid oid = { .number = { CTL_SYSCTL, question }, .length = 2 + subject->length };

	if (oid.length > CTL_MAXNAME)
		return (false);
	memcpy(oid.number + 2, subject->number, subject->length * sizeof(int));
	return (sysctl(&oid, answer, size, NULL, 0));
}

bool
sysctl_find(const char *name, struct oid *oid)
{
	const struct oid question = { { CTL_SYSCTL, CTL_SYSCTL_NAME2OID }, 2 };
	size_t size = sizeof(oid->number);

	if (!sysctl(&question, oid->number, &size, name, strlen(name)))
		return (false);
	oid->length = (uint32_t)(size / sizeof(int));
	return (true);
}

/* The first leaf after this one, or after where it would stand. */
bool
sysctl_next(const struct oid *after, struct oid *next)
{
	size_t size = sizeof(next->number);

	if (!ask_about(CTL_SYSCTL_NEXT, after, next->number, &size))
		return (false);
	next->length = (uint32_t)(size / sizeof(int));
	return (true);
}

bool
sysctl_name(const struct oid *oid, char *name, size_t size)
{
	size_t length = size - 1;

	if (!ask_about(CTL_SYSCTL_NAME, oid, name, &length))
		return (false);
	name[length] = '\0';
	return (true);
}

bool
sysctl_read(const struct oid *oid, void *value, size_t *size)
{
	return (sysctl(oid, value, size, NULL, 0));
}

bool
sysctl_write(const struct oid *oid, const void *value, size_t size)
{
	size_t none = 0;

	return (sysctl(oid, NULL, &none, value, size));
}

/* Its kind, whose lowest bits are the type, comes before the format. */
bool
sysctl_type(const struct oid *oid, enum sysctl_type *type)
{
	struct {
		uint32_t kind;
		char	 format[FORMAT_MAX];
	} answer;
	size_t size = sizeof(answer);

	if (!ask_about(CTL_SYSCTL_OIDFMT, oid, &answer, &size))
		return (false);
	*type = (enum sysctl_type)(answer.kind & TYPE_MASK);
	return (true);
}

bool
sysctl_text(const char *name, char *buffer, size_t size)
{
	struct oid oid;
	size_t length = size - 1;

	if (!sysctl_find(name, &oid) || !sysctl(&oid, buffer, &length, NULL, 0))
		return (false);
	buffer[length] = '\0';
	return (true);
}

/* Of whatever width: x86 is little-endian. */
uint64_t
sysctl_number(const char *name, uint64_t missing)
{
	struct oid oid;
	uint64_t value = 0;
	size_t size = sizeof(value);

	if (!sysctl_find(name, &oid) || !sysctl(&oid, &value, &size, NULL, 0))
		return (missing);
	return (value);
}

bool
sysctl_set_int(const char *name, int value)
{
	struct oid oid;

	return (sysctl_find(name, &oid) && sysctl_write(&oid, &value, sizeof(value)));
}
