/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef MACHINE_H
#define MACHINE_H

/* What init needs of FreeBSD/amd64 and of its processor. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAXMEMDOM	8	/* sys/amd64/include/param.h */

/* A system call: the result, or the negative errno. */
static inline int64_t
syscall(int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	register uint64_t r10 __asm("r10") = d;
	register uint64_t r8 __asm("r8") = e;
	register uint64_t r9 __asm("r9") = f;
	bool failed;

	/* The kernel reports an error by the carry flag, and preserves neither rdx nor r8 to r11. */
	__asm volatile("syscall"
	    : "=@ccc"(failed), "+a"(number), "+d"(c), "+r"(r10), "+r"(r8), "+r"(r9)
	    : "D"(a), "S"(b)
	    : "rcx", "r11", "memory");
	return (failed ? -number : number);
}

static inline void
copy_bytes(void *to, const void *from, size_t length)
{
	__asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(length) : : "memory");
}

static inline void
fill_bytes(void *to, int byte, size_t length)
{
	__asm volatile("rep stosb" : "+D"(to), "+c"(length) : "a"(byte) : "memory");
}

static inline void
cpu_pause(void)
{
	__asm volatile("pause");
}

/* The body of _start(): the kernel's stack is not aligned for C. */
#define ENTER_RUN	"xorl %ebp, %ebp; andq $-16, %rsp; call run"

/* port.c: the second serial port; false if there is none, or no way to it. */
bool	port_open(void);
bool	port_has_byte(void);
char	port_read(void);	/* waits */
void	port_write(const char *text, size_t length);

/* Power off by the chipset; returns if that did nothing. */
void chipset_power_off(void);

#endif
