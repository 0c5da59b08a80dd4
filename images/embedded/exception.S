/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The first 32 vectors: each makes a struct trapframe (trap.h) on the stack
 * and calls trap().  A backtrace knows such a frame by the name calltrap.
 */
	.text
	.globl	exception_stubs
	.type	exception_stubs, @function
	.balign	16
exception_stubs:
	.set	number, 0
	.rept	32
	.balign	16			/* STUB_SIZE of trap.c */
	/* All but these come without an error code (Intel SDM, volume 3, table 6-1). */
	.if	number != 8 && number != 17 && number != 21 && (number < 10 || number > 14)
	pushq	$0
	.endif
	pushq	$number
	jmp	alltraps
	.set	number, number + 1
	.endr
	.size	exception_stubs, . - exception_stubs

	.type	alltraps, @function
alltraps:
	pushq	%rax
	pushq	%rbx
	pushq	%rcx
	pushq	%rdx
	pushq	%rsi
	pushq	%rdi
	pushq	%rbp
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	.size	alltraps, . - alltraps

	.type	calltrap, @function
calltrap:
	movq	%rsp, %rdi
	call	trap
	hlt				/* trap() does not return */
	.size	calltrap, . - calltrap

/* An interrupt only ends a hlt; the controller needs no acknowledgement (irq.c). */
	.globl	irq_stub
	.type	irq_stub, @function
	.balign	16
irq_stub:
	iretq
	.size	irq_stub, . - irq_stub

	.section .note.GNU-stack, "", @progbits
