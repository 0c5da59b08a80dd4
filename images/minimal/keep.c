/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The tunables harness.keep=1 and harness.check=1: the guest stays up after its
 * report, for a user at its console, or for the check module's channel.
 */

#include "facts.h"
#include "syscall.h"

void
keep_if_asked(void)
{
	static const struct timespec long_time = { .seconds = 1000000 };

	while (kenv_is_one("harness.keep") || kenv_is_one("harness.check")) {
		renew_for_module_if_asked();
		(void)syscall(SYS_nanosleep, (uintptr_t)&long_time, 0, 0, 0, 0, 0);
	}
}
