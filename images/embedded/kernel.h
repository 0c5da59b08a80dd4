/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef KERNEL_H
#define KERNEL_H

/* What every file needs: types, the console, panic, memory and strings. */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "string.h"

#define MAXMEMDOM	8	/* as many memory domains as FreeBSD/amd64 takes */
#define MAXCPU		64

#define nitems(array)	(sizeof(array) / sizeof((array)[0]))
#define howmany(x, y)	(((x) + (y) - 1) / (y))
#define roundup2(x, y)	(((x) + ((y) - 1)) & ~((uintptr_t)(y) - 1))
#define rounddown2(x, y) ((x) & ~((uintptr_t)(y) - 1))
#define MIN(a, b)	((a) < (b) ? (a) : (b))
#define MAX(a, b)	((a) > (b) ? (a) : (b))

#define __packed	__attribute__((packed))
#define __noinline	__attribute__((noinline))
#define __dead2		__attribute__((noreturn))
#define __printflike(f, a) __attribute__((format(printf, f, a)))

typedef uint64_t vm_paddr_t;
typedef uintptr_t vm_offset_t;

/* console.c */
void	cnputs(const char *text, size_t length);

/* The last 16 KiB of the console, in two parts, the older one first. */
#define MSGBUF_PARTS	2
const char *msgbuf_part(int part, size_t *length);

void	vprintf(const char *format, va_list arguments);
void	printf(const char *format, ...) __printflike(1, 2);
int	snprintf(char *buffer, size_t size, const char *format, ...) __printflike(3, 4);
int	vsnprintf(char *buffer, size_t size, const char *format, va_list arguments);

/* shutdown.c */
extern bool panicked;
void	panic(const char *format, ...) __printflike(1, 2) __dead2;
void	kern_reboot(void) __dead2;
void	kern_poweroff(void) __dead2;
void	cpu_halt(void) __dead2;
void	cpu_triple_fault(void) __dead2;

#define KASSERT(condition, message) do {	\
	if (!(condition))			\
		panic message;			\
} while (0)

/* libkern.c */
void	*memcpy(void *to, const void *from, size_t length);
void	*memmove(void *to, const void *from, size_t length);
void	*memset(void *to, int byte, size_t length);
int	strcmp(const char *left, const char *right);
int	strncmp(const char *left, const char *right, size_t length);

/* backtrace.c */
void	kdb_backtrace(void);

#endif
