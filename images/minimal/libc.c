/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */

#include "libc.h"
#include "machine.h"

/* The compiler calls these by name. */
void *
memcpy(void *to, const void *from, size_t length)
{
	copy_bytes(to, from, length);
	return (to);
}

void *
memset(void *to, int byte, size_t length)
{
	fill_bytes(to, byte, length);
	return (to);
}

bool
skip_past(const char **at, const char *word)
{
	size_t length = strlen(word), left = strlen(*at);

	for (; left >= length; (*at)++, left--)
		if (memcmp(*at, word, length) == 0) {
			*at += length;
			return (true);
		}
	return (false);
}

/* Decimal, or hexadecimal after 0x, blanks and a minus sign before it allowed. */
bool
read_number(const char **at, int64_t *number)
{
	const char *first;
	bool negative;
	int base = 10;
	int64_t value = 0;

	while (**at == ' ' || **at == '\n')
		(*at)++;
	negative = **at == '-';
	*at += negative;
	if ((*at)[0] == '0' && (*at)[1] == 'x') {
		base = 16;
		*at += 2;
	}
	for (first = *at; digit_of(**at) < base; (*at)++)
		value = value * base + digit_of(**at);
	*number = negative ? -value : value;
	return (*at != first);
}
