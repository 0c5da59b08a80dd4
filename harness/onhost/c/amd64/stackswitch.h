/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef STACKSWITCH_H
#define STACKSWITCH_H

/* Stacks of coroutines: what a function call preserves is kept on the stack that is left. */

#define STACK_ALIGNMENT	16
#define STACK_REGISTERS	6

/* Leaves a stack, whose pointer is stored, and goes on where another one was left. */
__attribute__((naked, noinline)) static void
stack_switch(void **left __attribute__((unused)), void *entered __attribute__((unused)))
{
	__asm__ volatile(
	    "pushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n\t"
	    "movq %rsp, (%rdi)\n\tmovq %rsi, %rsp\n\t"
	    "popq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n\t"
	    "retq");
}

/* A stack that goes on at a function's beginning; its frames end there. */
static inline void *
stack_made(char *stack, unsigned long size, void (*function)(void))
{
	void **top = (void **)(stack + size - STACK_ALIGNMENT);

	*--top = 0;				/* where the function returns to: nowhere */
	*--top = (void *)function;
	for (int i = 0; i < STACK_REGISTERS; i++)
		*--top = 0;
	return (top);
}

#endif
