/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* Arenas as a host program: their start, and condition variables. */

#include "kern.h"

#include <sys/condvar.h>
#include <sys/vmem.h>

/* Boundary tags come from a zone; UMA has started. */
static void
start_arenas(void)
{
	vmem_startup();
}
ON_START(start_arenas);

/* --- condvar(9): all requests are M_NOWAIT, so nobody waits ---------------- */

void
cv_init(struct cv *condition, const char *description)
{
	condition->cv_description = description;
	condition->cv_waiters = 0;
}

void
cv_destroy(struct cv *condition)
{
	(void)condition;
}

void
cv_broadcastpri(struct cv *condition, int priority)
{
	(void)condition, (void)priority;
}
