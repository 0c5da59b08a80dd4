/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The backtrace: the chain of frame pointers (all is built with them), named
 * from the table that the second link takes from the symbols of the first.
 */

#include "kernel.h"
#include "trap.h"

struct frame {
	const struct frame	*caller;
	uintptr_t		 return_address;
};

struct ksym {
	uintptr_t	 start;
	size_t		 size;
	const char	*name;
};

extern const struct ksym ksyms[];
extern const size_t ksyms_count;

static bool
in_kernel(const void *pointer)
{
	return ((uintptr_t)pointer >= VM_MIN_KERNEL_ADDRESS);
}

static const struct ksym *
symbol_at(uintptr_t address)
{
	for (size_t i = 0; i < ksyms_count; i++)
		if (address - ksyms[i].start < ksyms[i].size)
			return (&ksyms[i]);
	return (NULL);
}

/*
 * The function a return address belongs to.  A call that never returns may be
 * the last instruction of its function: one byte back is certainly inside.
 */
static const struct ksym *
symbol_of_return(uintptr_t address)
{
	return (symbol_at(address - 1));
}

static void
db_print_stack_entry(const struct ksym *symbol, uintptr_t pc, const struct frame *frame)
{
	if (symbol != NULL)
		printf("%s() at %s+%#lx", symbol->name, symbol->name, pc - symbol->start);
	else
		printf("?\?() at %#lx", pc);
	if (frame != NULL)
		printf("/frame %#lx", (uintptr_t)frame);
	printf("\n");
}

static void
db_backtrace(uintptr_t pc, const struct frame *frame)
{
	const struct ksym *symbol = symbol_of_return(pc);

	for (;;) {
		db_print_stack_entry(symbol, pc, frame);
		if (!in_kernel(frame))
			break;
		pc = frame->return_address;
		symbol = symbol_of_return(pc);
		if (symbol != NULL && strcmp(symbol->name, "calltrap") == 0) {
			/* The trap's own frame lies just above that of trap(). */
			const struct trapframe *tf = (const struct trapframe *)(frame + 1);

			db_print_stack_entry(symbol, pc, frame + 1);
			printf("--- trap %#x, rip = %#lx, rsp = %#lx, rbp = %#lx ---\n",
			    trap_type(tf->tf_vector), tf->tf_rip, tf->tf_rsp, tf->tf_rbp);
			pc = tf->tf_rip;
			symbol = symbol_at(pc);
		}
		frame = frame->caller;
	}
}

/* Not of this function itself: it begins with its caller. */
static __noinline void
db_trace_self(void)
{
	const struct frame *frame = __builtin_frame_address(0);

	db_backtrace(frame->return_address, frame->caller);
}

static __noinline void
db_trace_self_wrapper(void)
{
	db_trace_self();
}

void
kdb_backtrace(void)
{
	printf("KDB: stack backtrace:\n");
	db_trace_self_wrapper();
}
