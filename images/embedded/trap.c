/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * CPU exceptions: each is fatal here, and is reported as FreeBSD's
 * trap_fatal() (sys/amd64/amd64/trap.c) does.
 */

#include "cpu.h"
#include "kernel.h"
#include "trap.h"

#define VECTORS		IRQ_VECTOR	/* those of exceptions */
#define STUB_SIZE	16
#define GATE_INTERRUPT	0x8e00	/* present, ring 0, 64-bit interrupt gate */

#define VECTOR_PAGE_FAULT 14

#define PGEX_P		0x01
#define PGEX_W		0x02
#define PGEX_RSV	0x08
#define PGEX_I		0x10

#define PSL_I		0x00000200
#define PSL_RF		0x00010000

struct gate {
	uint16_t	offset_low;
	uint16_t	selector;
	uint16_t	attributes;
	uint16_t	offset_middle;
	uint32_t	offset_high;
	uint32_t	reserved;
};

struct trap_name {
	uint8_t		 type;	/* FreeBSD numbers traps in its own way: sys/x86/include/trap.h */
	const char	*text;
};

extern const char exception_stubs[], irq_stub[];

static struct gate idt[IRQ_VECTOR + IRQ_COUNT];

static const struct trap_name trap_names[VECTORS] = {
	[0] =	{ 18, "integer divide fault" },
	[1] =	{ 10, "debug exception" },
	[2] =	{ 19, "non-maskable interrupt trap" },
	[3] =	{ 3, "breakpoint instruction fault" },
	[4] =	{ 20, "overflow trap" },
	[5] =	{ 21, "FPU bounds check fault" },
	[6] =	{ 1, "privileged instruction fault" },
	[7] =	{ 22, "FPU device not available" },
	[8] =	{ 23, "double fault" },
	[9] =	{ 24, "FPU operand fetch fault" },
	[10] =	{ 25, "invalid TSS fault" },
	[11] =	{ 26, "segment not present fault" },
	[12] =	{ 27, "stack fault" },
	[13] =	{ 9, "general protection fault" },
	[14] =	{ 12, "page fault" },
	[16] =	{ 6, "arithmetic trap" },
	[17] =	{ 14, "alignment fault" },
	[18] =	{ 28, "machine check trap" },
	[19] =	{ 29, "SIMD floating-point exception" },
};

void	trap(const struct trapframe *frame) __dead2;

static struct gate
gate_to(uintptr_t stub)
{
	return ((struct gate) {
		.offset_low = (uint16_t)stub,
		.selector = KCODE_SEL,
		.attributes = GATE_INTERRUPT,
		.offset_middle = (uint16_t)(stub >> 16),
		.offset_high = (uint32_t)(stub >> 32),
	});
}

void
trap_init(void)
{
	static struct table_pointer pointer;

	for (int i = 0; i < VECTORS; i++)
		idt[i] = gate_to((uintptr_t)exception_stubs + (uintptr_t)i * STUB_SIZE);
	for (int i = 0; i < IRQ_COUNT; i++)
		idt[IRQ_VECTOR + i] = gate_to((uintptr_t)irq_stub);
	pointer.limit = sizeof(idt) - 1;
	pointer.base = (uintptr_t)idt;
	lidt(&pointer);
}

unsigned
trap_type(uint64_t vector)
{
	return (vector < VECTORS && trap_names[vector].text != NULL ?
	    trap_names[vector].type : 30);
}

static const char *
trap_text(uint64_t vector)
{
	return (vector < VECTORS && trap_names[vector].text != NULL ?
	    trap_names[vector].text : "unknown/reserved trap");
}

static const char *
page_fault_reason(uint64_t code)
{
	if ((code & PGEX_RSV) != 0)
		return ("reserved bits in PTE");
	return ((code & PGEX_P) != 0 ? "protection violation" : "page not present");
}

static __dead2 void
trap_fatal(const struct trapframe *frame, uint64_t address)
{
	unsigned ss = frame->tf_ss & 0xffff;

	printf("\n\nFatal trap %u: %s while in kernel mode\n", trap_type(frame->tf_vector),
	    trap_text(frame->tf_vector));
	printf("cpuid = 0; apic id = 00\n");
	if (frame->tf_vector == VECTOR_PAGE_FAULT) {
		printf("fault virtual address	= %#lx\n", address);
		printf("fault code		= supervisor %s %s, %s\n",
		    (frame->tf_err & PGEX_W) != 0 ? "write" : "read",
		    (frame->tf_err & PGEX_I) != 0 ? "instruction" : "data",
		    page_fault_reason(frame->tf_err));
	}
	printf("instruction pointer	= %#lx:%#lx\n", frame->tf_cs & 0xffff, frame->tf_rip);
	printf("stack pointer	        = %#x:%#lx\n", ss, frame->tf_rsp);
	printf("frame pointer	        = %#x:%#lx\n", ss, frame->tf_rbp);
	printf("code segment		= base 0x0, limit 0xfffff, type 0x1b\n");
	printf("			= DPL 0, pres 1, long 1, def32 0, gran 1\n");
	printf("processor eflags	= %s%sIOPL = %lu\n",
	    (frame->tf_rflags & PSL_I) != 0 ? "interrupt enabled, " : "",
	    (frame->tf_rflags & PSL_RF) != 0 ? "resume, " : "", (frame->tf_rflags >> 12) & 3);
	printf("current process		= 0 (swapper)\n");
	printf("trap number		= %u\n", trap_type(frame->tf_vector));
	panic("%s", trap_text(frame->tf_vector));
}

void
trap(const struct trapframe *frame)
{
	trap_fatal(frame, rcr2());
}
