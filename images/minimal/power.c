/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The end of the guest.  reboot(2) first stops vnlru, the buffer daemons and
 * the syncer, which takes a guest some 14 s and cannot be skipped by its flags
 * (sys/kern/kern_shutdown.c:kern_reboot(), event shutdown_pre_sync).  Nothing
 * is left here to be saved, so we ask the chipset ourselves.
 */

#include "acpi.h"
#include "facts.h"
#include "syscall.h"
#include "sysctl.h"
#include "text.h"

#define FADT_PM1A_CNT	64	/* ACPI 6.5, table 5.9 */

/*
 * ACPI 6.5, 4.8.3.2: sleep enable with sleep type 0, which is S5 on QEMU's PC
 * chipsets (hw/acpi/core.c:acpi_pm1_cnt_write()).  Elsewhere it does nothing,
 * or sleeps; we are not meant for elsewhere.
 */
#define PM1_SLP_EN	0x2000

#define RB_NOSYNC	0x004	/* sys/sys/reboot.h */
#define RB_POWEROFF	0x4000

static void
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

static void
kernel_power_off(void)
{
	(void)sysctl_set_int("kern.shutdown.kproc_shutdown_wait", 1);
	(void)sysctl_set_int("kern.shutdown.poweroff_delay", 0);
	(void)syscall(SYS_reboot, RB_NOSYNC | RB_POWEROFF, 0, 0, 0, 0, 0);
}

void
power_off(void)
{
	chipset_power_off();
	kernel_power_off();
	for (;;)
		__asm volatile("pause");
}
