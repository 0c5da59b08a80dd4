/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* The kernel environment, kenv(2). */

#include "facts.h"
#include "libc.h"
#include "syscall.h"

#define KENV_GET	0	/* sys/sys/kenv.h */
#define KENV_SET	1
#define KENV_MVALLEN	128	/* a longer value is cut, its NUL with it */

bool
kenv_get(const char *name, char *value, size_t size)
{
	char whole[KENV_MVALLEN + 1] = { 0 };
	size_t length;

	if (syscall(SYS_kenv, KENV_GET, (uintptr_t)name, (uintptr_t)whole, KENV_MVALLEN, 0, 0) <= 0)
		return (false);
	length = strlen(whole) + 1;
	if (length > size)
		return (false);
	memcpy(value, whole, length);
	return (true);
}

bool
kenv_is_one(const char *name)
{
	char value[KENV_MVALLEN + 1];

	return (kenv_get(name, value, sizeof(value)) && value[0] == '1');
}

void
kenv_set(const char *name, const char *value)
{
	(void)syscall(SYS_kenv, KENV_SET, (uintptr_t)name, (uintptr_t)value, strlen(value) + 1, 0, 0);
}
