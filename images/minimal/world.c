/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The tunable harness.world=1: in a guest with a userland, this program reports
 * as in any other guest, and then the world's own init takes its place.
 */

#include "facts.h"
#include "syscall.h"

#define DESCRIPTORS	16	/* more than the report has opened */

void
become_init_if_asked(void)
{
	static const char path[] = "/sbin/init";
	const char *const arguments[] = { "init", NULL };
	const char *const environment[] = { NULL };
	int64_t fd;

	if (!kenv_is_one("harness.world"))
		return;
	renew_wait_if_asked();
	/* init(8) expects none to be open. */
	for (fd = 0; fd < DESCRIPTORS; fd++)
		close(fd);
	(void)syscall(SYS_execve, (uintptr_t)path, (uintptr_t)arguments, (uintptr_t)environment, 0, 0, 0);
}
