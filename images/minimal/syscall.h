/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef SYSCALL_H
#define SYSCALL_H

/* FreeBSD's system calls, raw: sys/kern/syscalls.master has the numbers. */

#include <stdint.h>

#include "machine.h"

enum {
	SYS_close = 6,
	SYS_write = 4,
	SYS_open = 5,
	SYS_ioctl = 54,
	SYS_reboot = 55,
	SYS___sysctl = 202,
	SYS_nanosleep = 240,
	SYS_kenv = 390,
	SYS_pread = 475,
	SYS_cpuset_getaffinity = 487,
};

enum {
	O_RDONLY = 0,
	O_RDWR = 2,
};

static inline int64_t
open(const char *path, int flags)
{
	return (syscall(SYS_open, (uintptr_t)path, (uint64_t)flags, 0, 0, 0, 0));
}

static inline void
close(int64_t fd)
{
	(void)syscall(SYS_close, (uint64_t)fd, 0, 0, 0, 0, 0);
}

#endif
