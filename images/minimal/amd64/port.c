/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The second serial port, polled through /dev/io.  uart(4) reads a burst of the
 * host's into a buffer of 384 bytes, and loses the rest: it gets no interrupt.
 */

#include "machine.h"
#include "secondport.h"
#include "syscall.h"

#define EAGER_LOOKS	400	/* for what comes next, before the CPU sleeps */
#define REST		2000	/* between looks: each takes the lock that QEMU delivers under */

static inline uint8_t
inb(uint16_t from)
{
	uint8_t byte;

	__asm volatile("inb %1, %0" : "=a"(byte) : "d"(from));
	return (byte);
}

static inline void
outb(uint16_t to, uint8_t byte)
{
	__asm volatile("outb %0, %1" : : "a"(byte), "d"(to));
}

bool
port_open(void)
{
	/* Open, it lets this thread use I/O ports. */
	if (open("/dev/io", O_RDWR) < 0)
		return (false);
	outb(COM_IER, 0);
	outb(COM_LCR, LCR_8BITS);
	return (inb(COM_LSR) != NO_PORT);
}

bool
port_has_byte(void)
{
	return ((inb(COM_LSR) & LSR_RXRDY) != 0);
}

char
port_read(void)
{
	static const struct timespec tick = { .nanoseconds = 1 };

	for (unsigned looks = 0; !port_has_byte(); looks++)
		if (looks >= EAGER_LOOKS)
			(void)syscall(SYS_nanosleep, (uintptr_t)&tick, 0, 0, 0, 0, 0);
		else
			for (volatile unsigned spins = 0; spins < REST; spins++)
				cpu_pause();
	return ((char)inb(COM_DATA));
}

void
port_write(const char *text, size_t length)
{
	for (size_t sent = 0; sent < length; sent++) {
		while (sent % FIFO_BYTES == 0 && (inb(COM_LSR) & LSR_TXRDY) == 0)
			cpu_pause();
		outb(COM_DATA, (uint8_t)text[sent]);
	}
}
