/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */

#ifdef _KERNEL
#include <sys/param.h>
#else
#include <stddef.h>
#include <stdint.h>
#endif

#include "text.h"

struct text
text_into(char *buffer, size_t size)
{
	buffer[0] = '\0';
	return ((struct text){ .at = buffer, .end = buffer + size });
}

void
text_char(struct text *text, char c)
{
	if (text->at + 1 < text->end)
		*text->at++ = c;
	*text->at = '\0';
}

void
text_string(struct text *text, const char *string)
{
	while (*string != '\0')
		text_char(text, *string++);
}

void
text_number(struct text *text, uint64_t number)
{
	char digits[20];
	int count = 0;

	do
		digits[count++] = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	while (count > 0)
		text_char(text, digits[--count]);
}

void
text_hex(struct text *text, uint64_t number, int digits)
{
	while (digits-- > 0)
		text_char(text, "0123456789abcdef"[number >> (4 * digits) & 0xf]);
}

int
digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (c - '0');
	if (c >= 'a' && c <= 'f')
		return (c - 'a' + 10);
	return (16);
}
