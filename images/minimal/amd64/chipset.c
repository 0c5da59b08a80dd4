/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#include "acpi.h"
#include "syscall.h"
#include "libc.h"

#define FADT_PM1A_CNT	64	/* ACPI 6.5, table 5.9 */

/*
 * ACPI 6.5, 4.8.3.2: sleep enable with sleep type 0, which is S5 on QEMU's PC
 * chipsets (hw/acpi/core.c:acpi_pm1_cnt_write()).  On other
 * chipsets it does nothing, or sleeps; they are not supported.
 */
#define PM1_SLP_EN	0x2000

void
chipset_power_off(void)
{
	size_t length;
	const unsigned char *fadt = acpi_table("FACP", &length);
	uint32_t port;

	/* Open, /dev/io lets this thread use I/O ports. */
	if (fadt == NULL || length < FADT_PM1A_CNT + sizeof(port) || open("/dev/io", O_RDWR) < 0)
		return;
	memcpy(&port, fadt + FADT_PM1A_CNT, sizeof(port));
	__asm volatile("outw %w0, %w1" : : "a"(PM1_SLP_EN), "d"(port));
}
