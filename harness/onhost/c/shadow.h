/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef SHADOW_H
#define SHADOW_H

/*
 * shadow.c: which memory may be accessed, where a program is compiled with KASAN;
 * nothing elsewhere.  Plain C types only.
 */

#ifdef KASAN
void	shadow_valid(const void *memory, unsigned long size);
void	shadow_freed(const void *memory, unsigned long size);
void	shadow_check(const void *memory, unsigned long size, _Bool writes);
#else
#define shadow_valid(memory, size)		((void)0)
#define shadow_freed(memory, size)		((void)0)
#define shadow_check(memory, size, writes)	((void)0)
#endif

#endif
