/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * "renew nonce= time= seed=": the first command of a guest that was restored from
 * a snapshot.  What the guest took over from the saved one, and must not keep, is
 * replaced; then it reports anew, by which kernel and machine are proven again.
 */

#include "protocol.h"
#include "shell.h"

#define NONCE_MAX	16
#define SEED_MAX	64

bool
renew_take(const char *nonce, long time, const char *seed)
{
	static char name[NONCE_MAX + 1], bytes[SEED_MAX];
	long length;

	if (nonce == NULL || seed == NULL || time < 0 ||
	    shell_decode(nonce, name, NONCE_MAX) != NONCE_MAX)
		return (false);
	length = shell_decode(seed, bytes, sizeof(bytes));
	if (length < 0)
		return (false);
	guest_renew(name, time, bytes, (size_t)length);
	return (true);
}

bool
renew_obey(void)
{
	if (!probe_is_command("renew"))
		return (false);
	if (renew_take(probe_value("nonce"), probe_number("time"), probe_value("seed")))
		probe_done(NULL);
	else
		probe_refused("field");
	return (true);
}
