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
	SYS_exit = 1,
	SYS_fork = 2,
	SYS_read = 3,
	SYS_write = 4,
	SYS_open = 5,
	SYS_close = 6,
	SYS_ioctl = 54,
	SYS_execve = 59,
	SYS_reboot = 55,
	SYS_mkdir = 136,
	SYS___sysctl = 202,
	SYS_clock_settime = 233,
	SYS_nanosleep = 240,
	SYS_nmount = 378,
	SYS_kenv = 390,
	SYS_pread = 475,
	SYS_pwrite = 476,
	SYS_cpuset_getaffinity = 487,
};

enum {
	O_RDONLY = 0x0000,
	O_WRONLY = 0x0001,
	O_RDWR = 0x0002,
	O_CREAT = 0x0200,
	O_TRUNC = 0x0400,
	O_NOCTTY = 0x8000,
};

enum {
	CLOCK_REALTIME = 0,
};

struct timespec {
	int64_t	seconds;
	int64_t	nanoseconds;
};

static inline int64_t
open(const char *path, int flags)
{
	return (syscall(SYS_open, (uintptr_t)path, (uint64_t)flags, 0, 0, 0, 0));
}

static inline int64_t
create(const char *path, int flags, uint64_t mode)
{
	return (syscall(SYS_open, (uintptr_t)path, (uint64_t)(O_WRONLY | O_CREAT | flags), mode, 0,
	    0, 0));
}

static inline void
close(int64_t fd)
{
	(void)syscall(SYS_close, (uint64_t)fd, 0, 0, 0, 0, 0);
}

#endif
