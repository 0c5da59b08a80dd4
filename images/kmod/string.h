/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef STRING_H
#define STRING_H

#include <stddef.h>

/* string.c, for guests that have no kernel or library of FreeBSD's. */
int	memcmp(const void *left, const void *right, size_t length);
size_t	strlen(const char *text);

/* The guest's own. */
void	*memcpy(void *to, const void *from, size_t length);
void	*memset(void *to, int byte, size_t length);

#endif
