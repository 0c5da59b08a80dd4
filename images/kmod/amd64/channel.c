/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The channel: COM2, polled.  No driver of the kernel's has it (the harness
 * gives the tunable hint.uart.1.disabled), so it works whatever becomes of
 * user land, and the console stays the console's.
 */

#include "batch.h"
#include "check.h"
#include "secondport.h"

#include <sys/conf.h>
#include <sys/kernel.h>
#include <sys/kthread.h>
#include <sys/module.h>
#include <sys/proc.h>

#include <machine/cpufunc.h>

/* Both FIFOs, emptied.  QEMU passes on as many bytes at a time as are to interrupt: up to 14. */
#define FCR_ENABLE	0xc7
#define MCR_DTR_RTS	0x03
#define EAGER_POLLS	400	/* before the CPU is given to others for a tick */
#define REST		2000	/* between looks: each takes the lock that QEMU delivers under */

static void
wait_to_send(void)
{
	while ((inb(COM_LSR) & LSR_TXRDY) == 0)
		cpu_spinwait();
}

void
probe_send(const char *text, size_t length)
{
	for (size_t sent = 0; sent < length; sent++) {
		if (sent % FIFO_BYTES == 0)
			wait_to_send();
		outb(COM_DATA, (uint8_t)text[sent]);
	}
}

static void
rest(void)
{
	for (volatile unsigned spins = 0; spins < REST; spins++)
		continue;
}

static void
channel_main(void *unused __unused)
{
	unsigned idle = 0;

	renew_wait_for_init();
	for (;;) {
		if ((inb(COM_LSR) & LSR_RXRDY) != 0) {
			batch_take((char)inb(COM_DATA));
			idle = 0;
		} else if (++idle < EAGER_POLLS)
			rest();
		else
			pause("hcheck", 1);
	}
}

static void
channel_start(void *unused __unused)
{
	struct proc *process;

	outb(COM_IER, 0);
	outb(COM_LCR, LCR_8BITS);
	outb(COM_FCR, FCR_ENABLE);
	outb(COM_MCR, MCR_DTR_RTS);
	if (inb(COM_LSR) == NO_PORT) {
		printf("harness_check: no second serial port, so nobody to talk to\n");
		return;
	}
	if (worker_start() != 0 ||
	    kproc_create(channel_main, NULL, &process, 0, 0, "harness_check") != 0)
		printf("harness_check: no thread for the channel\n");
}
SYSINIT(harness_check, SI_SUB_KTHREAD_IDLE, SI_ORDER_ANY, channel_start, NULL);

static int
harness_check_event(module_t module __unused, int event, void *unused __unused)
{
	/* It is loaded with the kernel and stays: its zones cannot be taken back. */
	return (event == MOD_LOAD ? 0 : EOPNOTSUPP);
}
DEV_MODULE(harness_check, harness_check_event, NULL);
MODULE_VERSION(harness_check, 1);
