/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */

#include "machine.h"
#include "text.h"

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

int
memcmp(const void *left, const void *right, size_t length)
{
	const unsigned char *a = left, *b = right;

	for (; length > 0; a++, b++, length--)
		if (*a != *b)
			return (*a - *b);
	return (0);
}

size_t
strlen(const char *text)
{
	size_t length = 0;

	while (text[length] != '\0')
		length++;
	return (length);
}

struct text
text_into(char *buffer, size_t size)
{
	buffer[0] = '\0';
	return ((struct text){ .at = buffer, .end = buffer + size });
}

void
text_string(struct text *text, const char *string)
{
	for (; *string != '\0' && text->at + 1 < text->end; string++)
		*text->at++ = *string;
	*text->at = '\0';
}

void
text_number(struct text *text, uint64_t number)
{
	char digits[21];
	char *at = digits + sizeof(digits) - 1;

	*at = '\0';
	do {
		*--at = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	text_string(text, at);
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

static int
digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (c - '0');
	if (c >= 'a' && c <= 'f')
		return (c - 'a' + 10);
	return (16);
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
