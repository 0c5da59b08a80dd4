/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Memory and strings.  The compiler calls the mem* functions by name for
 * copies of structures, so the sanitizer's checks of such copies are here.
 */

#include "kernel.h"
#include "kasan.h"

void *
memcpy(void *to, const void *from, size_t length)
{
	void *target = to;

	kasan_check_range(from, length, false);
	kasan_check_range(to, length, true);
	__asm volatile("rep movsb" : "+D"(target), "+S"(from), "+c"(length) : : "memory");
	return (to);
}

void *
memmove(void *to, const void *from, size_t length)
{
	char *target = to;
	const char *source = from;

	if (target <= source || target >= source + length)
		return (memcpy(to, from, length));
	while (length-- > 0)
		target[length] = source[length];
	return (to);
}

void *
memset(void *to, int byte, size_t length)
{
	void *target = to;

	kasan_check_range(to, length, true);
	__asm volatile("rep stosb" : "+D"(target), "+c"(length) : "a"(byte) : "memory");
	return (to);
}

int
strncmp(const char *left, const char *right, size_t length)
{
	for (; length > 0; left++, right++, length--)
		if (*left != *right || *left == '\0')
			return ((unsigned char)*left - (unsigned char)*right);
	return (0);
}

int
strcmp(const char *left, const char *right)
{
	return (strncmp(left, right, SIZE_MAX));
}
