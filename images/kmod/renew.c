/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * "renew nonce= time= seed=": the first command of a guest that was restored from
 * a snapshot.  Init obeys it (images/minimal/renew.c), as the report and the random
 * numbers are userland's; but this module has the port, so it leaves the fields in
 * the kernel environment.
 */

#include "check.h"

#include <sys/kenv.h>
#include <sys/kernel.h>
#include <sys/proc.h>

static int asked;

static bool
hand_over(const char *key, const char *variable)
{
	char value[KENV_MVALLEN];
	const char *at = probe_value(key);
	size_t length = 0;

	if (at == NULL)
		return (false);
	for (; at[length] != ' ' && at[length] != '\0'; length++) {
		if (length + 1 == sizeof(value))
			return (false);
		value[length] = at[length];
	}
	value[length] = '\0';
	return (kern_setenv(variable, value) == 0);
}

static bool
renew_obey(void)
{
	if (!probe_is_command("renew"))
		return (false);
	/* Init waits for the nonce. */
	if (hand_over("time", "harness.renew.time") && hand_over("seed", "harness.renew.seed") &&
	    hand_over("nonce", "harness.renew.nonce"))
		probe_done(NULL);
	else
		probe_refused("field");
	return (true);
}

/* A guest that answers may be saved; init must have printed its report by then. */
void
renew_wait_for_init(void)
{
	while (asked == 1 && !testenv("harness.renew.ready"))
		pause("hcheck", 1);
}

static void
renew_start(void *unused __unused)
{
	TUNABLE_INT_FETCH("harness.renew", &asked);
	if (asked == 1)
		probe_register(renew_obey);
}
SYSINIT(harness_renew, SI_SUB_KTHREAD_IDLE, SI_ORDER_FIRST, renew_start, NULL);
