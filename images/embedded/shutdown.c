/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* How the kernel ends: panic, reset, power-off, a halt for good. */

#include "acpi.h"
#include "boot.h"
#include "cpu.h"
#include "kernel.h"

#define RESET_CONTROL	0xcf9	/* of both i440FX and Q35 */
#define RESET_FULL	0x06

#define DELAY_PORT	0x84	/* unused: a read takes time and has no effect */
#define DELAY_READS	1000000

bool panicked;

/* There is no clock: like FreeBSD before its timecounters, it is second 1. */
static void
print_uptime(void)
{
	printf("Uptime: 1s\n");
}

static __dead2 void
vpanic(const char *format, va_list arguments)
{
	bool again = panicked;

	panicked = true;
	printf("panic: ");
	vprintf(format, arguments);
	printf("\ncpuid = 0\ntime = 1\n");
	if (!again)
		kdb_backtrace();
	kern_reboot();
}

void
panic(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vpanic(format, arguments);
}

void
cpu_halt(void)
{
	for (;;)
		__asm volatile("cli; hlt");
}

/* An interrupt without a table to find its handler in: the CPU shuts down. */
void
cpu_triple_fault(void)
{
	static const struct table_pointer nothing;

	lidt(&nothing);
	__asm volatile("int3");
	cpu_halt();
}

/* The tunable harness.keep: the guest halts, so that it can be examined. */
static void
halt_if_kept(void)
{
	int keep = 0;

	if (tunable_int("harness.keep", &keep) && keep != 0) {
		printf("The operating system has halted.\n");
		cpu_halt();
	}
}

/* The machine obeys a little later; what comes next means that it did not. */
static void
wait_for_machine(void)
{
	for (int reads = 0; reads < DELAY_READS; reads++)
		inb(DELAY_PORT);
}

void
kern_reboot(void)
{
	print_uptime();
	halt_if_kept();
	printf("Rebooting...\n");
	outb(RESET_CONTROL, RESET_FULL);
	wait_for_machine();
	cpu_triple_fault();
}

void
kern_poweroff(void)
{
	print_uptime();
	halt_if_kept();
	printf("acpi0: Powering system off\n");
	acpi_poweroff();
	wait_for_machine();
	printf("acpi0: power-off failed\n");
	cpu_halt();
}
