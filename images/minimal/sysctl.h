/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef SYSCTL_H
#define SYSCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CTL_MAXNAME	24	/* sys/sys/sysctl.h */

/* A sysctl by its numbers. */
struct oid {
	int		number[CTL_MAXNAME];
	uint32_t	length;
};

/* Each is false, or the given default, where this kernel has no such sysctl. */
bool	sysctl_find(const char *name, struct oid *oid);
bool	sysctl_next(const struct oid *after, struct oid *next);
bool	sysctl_name(const struct oid *oid, char *name, size_t size);
bool	sysctl_text(const char *name, char *buffer, size_t size);
uint64_t sysctl_number(const char *name, uint64_t missing);
bool	sysctl_set_int(const char *name, int value);

#endif
