/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef TRAP_H
#define TRAP_H

#include <stdint.h>

#define IRQ_VECTOR	32	/* behind the exceptions' */
#define IRQ_COUNT	8	/* of the first interrupt controller */

/* What exception.S leaves on the stack. */
struct trapframe {
	uint64_t	tf_r15, tf_r14, tf_r13, tf_r12, tf_r11, tf_r10, tf_r9, tf_r8;
	uint64_t	tf_rbp, tf_rdi, tf_rsi, tf_rdx, tf_rcx, tf_rbx, tf_rax;
	uint64_t	tf_vector, tf_err;
	uint64_t	tf_rip, tf_cs, tf_rflags, tf_rsp, tf_ss;
};

void		trap_init(void);
unsigned	trap_type(uint64_t vector);

#endif
