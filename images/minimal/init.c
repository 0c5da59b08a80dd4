/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The harness's init for FreeBSD/amd64 13.x and later: prints the
 * facts that NUMA tests need, and ends the guest, unless it is kept or a world's
 * own init takes over.  No C library, no options.
 */

#include "facts.h"
#include "report.h"
#include "syscall.h"

#define TIOCDRAIN	0x2000745e	/* sys/sys/ttycom.h: _IO('t', 94) */
#define COPIES		2

void	_start(void);

static __attribute__((used, noreturn)) void
run(void)
{
	static char nonce[NONCE_SIZE];
	int64_t console = open("/dev/console", O_RDWR);

	(void)kenv_get("harness.nonce", nonce, sizeof(nonce));
	report_facts(nonce);
	shell_open(console);
	report_print(console, COPIES);
	(void)syscall(SYS_ioctl, (uint64_t)console, TIOCDRAIN, 0, 0, 0, 0);
	become_init_if_asked();
	shell_serve();
	keep_if_asked();
	power_off();
}

/* The kernel enters here with a stack that is not aligned for C. */
__attribute__((naked, noreturn)) void
_start(void)
{
	__asm volatile(ENTER_RUN);
}
