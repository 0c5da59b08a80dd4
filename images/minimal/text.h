/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef TEXT_H
#define TEXT_H

/* The little of a C library that init needs. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void	*memcpy(void *to, const void *from, size_t length);
void	*memset(void *to, int byte, size_t length);
int	memcmp(const void *left, const void *right, size_t length);
size_t	strlen(const char *text);

/* A bounded string that is built up from the left; what does not fit is dropped. */
struct text {
	char	*at;
	char	*end;		/* one place before it is kept for the final NUL */
};

struct text text_into(char *buffer, size_t size);
void	text_string(struct text *text, const char *string);
void	text_number(struct text *text, uint64_t number);

/* Reads forward in a NUL-terminated string. */
bool	skip_past(const char **at, const char *word);
bool	read_number(const char **at, int64_t *number);

#endif
