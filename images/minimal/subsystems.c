/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* What subsystems add to the report: the linker gathers REPORTER()s. */

#include "facts.h"
#include "report.h"

/* Weak: there may be none. */
extern reporter *const __start_set_reporters[] __attribute__((weak));
extern reporter *const __stop_set_reporters[] __attribute__((weak));

void
report_subsystems(int domains)
{
	for (reporter *const *each = __start_set_reporters; each < __stop_set_reporters; each++)
		(*each)(domains);
}
