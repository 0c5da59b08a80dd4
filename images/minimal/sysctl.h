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

/* CTLTYPE in sys/sys/sysctl.h. */
enum sysctl_type {
	TYPE_NODE = 1,
	TYPE_INT,
	TYPE_STRING,
	TYPE_S64,
	TYPE_OPAQUE,
	TYPE_UINT,
	TYPE_LONG,
	TYPE_ULONG,
	TYPE_U64,
	TYPE_U8,
	TYPE_U16,
	TYPE_S8,
	TYPE_S16,
	TYPE_S32,
	TYPE_U32,
};

/* A sysctl by its numbers. */
struct oid {
	int		number[CTL_MAXNAME];
	uint32_t	length;
};

/* Each is false, or the given default, where this kernel has no such sysctl. */
bool	sysctl_find(const char *name, struct oid *oid);
bool	sysctl_next(const struct oid *after, struct oid *next);
bool	sysctl_name(const struct oid *oid, char *name, size_t size);
bool	sysctl_read(const struct oid *oid, void *value, size_t *size);
bool	sysctl_write(const struct oid *oid, const void *value, size_t size);
bool	sysctl_type(const struct oid *oid, enum sysctl_type *type);
bool	sysctl_text(const char *name, char *buffer, size_t size);
uint64_t sysctl_number(const char *name, uint64_t missing);
bool	sysctl_set_int(const char *name, int value);

#endif
