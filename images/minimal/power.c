/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The end of the guest.  reboot(2) first stops vnlru, the buffer daemons and
 * the syncer, which takes a guest some 14 s and cannot be skipped by its flags
 * (sys/kern/kern_shutdown.c:kern_reboot(), event shutdown_pre_sync).  Nothing
 * needs to be saved here, so init writes to the chipset directly.
 */

#include "facts.h"
#include "libc.h"
#include "syscall.h"
#include "sysctl.h"

#define RB_NOSYNC	0x004	/* sys/sys/reboot.h */
#define RB_POWEROFF	0x4000

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
		cpu_pause();
}
