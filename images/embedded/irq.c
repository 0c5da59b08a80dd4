/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* The one interrupt that is ever let through: it wakes the CPU, and that is all. */

#include "cpu.h"
#include "irq.h"
#include "trap.h"

/* The first Intel 8259A (its data sheet has these names); the second hangs on its line 2. */
#define PIC_COMMAND	0x20
#define PIC_DATA	0x21
#define ICW1_INIT_ICW4	0x11
#define ICW3_SLAVE_AT_2	0x04
#define ICW4_8086_AEOI	0x03	/* each interrupt counts as served at once */

void
irq_enable(int irq)
{
	outb(PIC_COMMAND, ICW1_INIT_ICW4);
	outb(PIC_DATA, IRQ_VECTOR);
	outb(PIC_DATA, ICW3_SLAVE_AT_2);
	outb(PIC_DATA, ICW4_8086_AEOI);
	outb(PIC_DATA, (uint8_t)~(1 << irq));
}

/* One that has come since interrupts were off ends the hlt as well: sti waits for it. */
void
irq_wait(void)
{
	__asm volatile("sti; hlt; cli" : : : "memory");
}
