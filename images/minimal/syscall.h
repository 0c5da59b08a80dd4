/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef SYSCALL_H
#define SYSCALL_H

/* FreeBSD/amd64 system calls, raw: sys/kern/syscalls.master has the numbers. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The result, or the negative errno. */
static inline int64_t
syscall(int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	register uint64_t r10 __asm("r10") = d;
	register uint64_t r8 __asm("r8") = e;
	register uint64_t r9 __asm("r9") = f;
	bool failed;

	/* The kernel tells of an error by the carry flag, and keeps neither rdx nor r8 to r11. */
	__asm volatile("syscall"
	    : "=@ccc"(failed), "+a"(number), "+d"(c), "+r"(r10), "+r"(r8), "+r"(r9)
	    : "D"(a), "S"(b)
	    : "rcx", "r11", "memory");
	return (failed ? -number : number);
}

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
