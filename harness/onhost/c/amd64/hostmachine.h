/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef HOSTMACHINE_H
#define HOSTMACHINE_H

/* The register at the CPU's data (%gs), and what a signal's context holds. */

#include <sys/auxv.h>
#include <sys/syscall.h>

#include <asm/prctl.h>
#include <stdint.h>
#include <ucontext.h>
#include <unistd.h>

#define HWCAP2_FSGSBASE	(1UL << 1)

__attribute__((target("fsgsbase"))) static inline void
write_base(void *base)
{
	__builtin_ia32_wrgsbase64((unsigned long long)(uintptr_t)base);
}

static inline void
set_cpu_base(void *base)
{
	static int quick = -1;

	if (quick < 0)
		quick = (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE) != 0;
	if (quick)
		write_base(base);
	else
		syscall(SYS_arch_prctl, ARCH_SET_GS, base);
}

static inline uintptr_t
place_of(const void *context)
{
	return ((uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP]);
}

static inline const uintptr_t *
frame_of(const void *context)
{
	return ((const uintptr_t *)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RBP]);
}

/* Where a function that has just been called will return to. */
static inline uintptr_t
caller_of(const void *context)
{
	return (*(const uintptr_t *)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RSP]);
}

#endif
