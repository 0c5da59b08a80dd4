/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef SECONDPORT_H
#define SECONDPORT_H

/* The second serial port of a PC: a 16550 (PC16550D data sheet, 8.0). */

#define COM2		0x2f8
#define COM_DATA	(COM2 + 0)
#define COM_IER		(COM2 + 1)
#define COM_FCR		(COM2 + 2)
#define COM_LCR		(COM2 + 3)
#define COM_MCR		(COM2 + 4)
#define COM_LSR		(COM2 + 5)
#define LCR_8BITS	0x03
#define LSR_RXRDY	0x01
#define LSR_TXRDY	0x20
#define NO_PORT		0xff	/* what reads where no port is */
#define FIFO_BYTES	16

#endif
