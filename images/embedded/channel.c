/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The channel of "harness check", and of commands: COM2, 8 bits.  Polled while bytes come; then
 * the CPU sleeps, so that a waiting guest takes nothing from its host.
 */

#include "batch.h"
#include "boot.h"
#include "channel.h"
#include "secondport.h"
#include "cpu.h"
#include "irq.h"
#include "protocol.h"

#define COM2_IRQ	3
#define IER_RXRDY	0x01
#define FCR_ENABLE	0xc7	/* both FIFOs, emptied; the interrupt comes with 14 bytes, or late */
#define LCR_DIVISOR	0x80	/* COM_DATA and COM_IER are the divisor */
#define MCR_IENABLE	0x0b	/* with DTR and RTS */
#define EAGER_LOOKS	20	/* for the rest of a line */
#define LOOK_SPINS	5000	/* from one to the next: microseconds */

static bool serving;

/*
 * Delay between two reads of the port: for each, QEMU takes the lock that it
 * needs to deliver bytes, so constant polling waits twenty times as long.
 */
static void
wait_a_little(void)
{
	for (int spins = 0; spins < LOOK_SPINS; spins++)
		__asm volatile("");
}

/* False: the machine has no such port. */
static bool
channel_open(void)
{
	outb(COM_LCR, LCR_DIVISOR);
	outb(COM_DATA, 1);		/* 115200: it decides how late that interrupt is */
	outb(COM_IER, 0);
	outb(COM_LCR, LCR_8BITS);
	outb(COM_FCR, FCR_ENABLE);
	outb(COM_MCR, MCR_IENABLE);
	outb(COM_IER, IER_RXRDY);
	irq_enable(COM2_IRQ);
	return (inb(COM_LSR) != NO_PORT);
}

static void __dead2
channel_serve(void)
{
	for (int looks = 0;; looks++) {
		if ((inb(COM_LSR) & LSR_RXRDY) != 0) {
			batch_take((char)inb(COM_DATA));
			looks = 0;
		} else if (looks < EAGER_LOOKS)
			wait_a_little();
		else
			irq_wait();
	}
}

void
channel_offer(const char *tunable, bool (*obey)(void))
{
	int offered = 0;

	if (!tunable_int(tunable, &offered) || offered == 0)
		return;
	probe_register(obey);
	serving = channel_open();
	if (!serving)
		printf("%s: no second serial port, so nobody to talk to\n", tunable);
}

void
channel_run(void)
{
	if (serving)
		channel_serve();
}

void
probe_send(const char *text, size_t length)
{
	for (size_t sent = 0; sent < length; sent++) {
		while (sent % FIFO_BYTES == 0 && (inb(COM_LSR) & LSR_TXRDY) == 0)
			wait_a_little();
		outb(COM_DATA, (uint8_t)text[sent]);
	}
}
