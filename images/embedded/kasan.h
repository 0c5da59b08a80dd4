/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef KASAN_H
#define KASAN_H

#include "kernel.h"

/* Shadow bytes of invalid addresses; the values are FreeBSD's. */
#define KASAN_STACK_LEFT	0xf1
#define KASAN_STACK_MID		0xf2
#define KASAN_STACK_RIGHT	0xf3
#define KASAN_USE_AFTER_SCOPE	0xf8
#define KASAN_GENERIC_REDZONE	0xfa
#define KASAN_KMEM_REDZONE	0xfc
#define KASAN_UMA_FREED		0xfd

#define KASAN_SHADOW_SCALE	8	/* bytes one shadow byte speaks for */

#ifdef KASAN
void	kasan_init(void);
void	kasan_mark(const void *address, size_t valid, size_t size, uint8_t code);
void	kasan_check_range(const void *address, size_t size, bool write);
#else
static inline void
kasan_init(void)
{
}

static inline void
kasan_mark(const void *address, size_t valid, size_t size, uint8_t code)
{
	(void)address, (void)valid, (void)size, (void)code;
}

static inline void
kasan_check_range(const void *address, size_t size, bool write)
{
	(void)address, (void)size, (void)write;
}
#endif

#endif
