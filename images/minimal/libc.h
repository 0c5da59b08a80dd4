/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef LIBC_H
#define LIBC_H

/* The little of a C library that init needs. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../kmod/string.h"
#include "../kmod/text.h"

void	*memcpy(void *to, const void *from, size_t length);
void	*memset(void *to, int byte, size_t length);

/* Reads forward in a NUL-terminated string. */
bool	skip_past(const char **at, const char *word);
bool	read_number(const char **at, int64_t *number);

#endif
