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
renew_obey(void)
{
	static char nonce[NONCE_MAX + 1], seed[SEED_MAX];
	long nonce_length, time, seed_length;

	if (!probe_is_command("renew"))
		return (false);
	nonce_length = shell_bytes("nonce", nonce, NONCE_MAX);
	seed_length = shell_bytes("seed", seed, sizeof(seed));
	time = probe_number("time");
	if (nonce_length != NONCE_MAX || seed_length < 0 || time < 0) {
		probe_refused("field");
		return (true);
	}
	nonce[nonce_length] = '\0';
	guest_renew(nonce, time, seed, (size_t)seed_length);
	probe_done(NULL);
	return (true);
}
