/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The tunable harness.renew=1: the guest may be saved, and restored many times.
 * What must not be equal in all of them is replaced by the first command of a
 * restored one (images/shell/renew.c).  In a guest with a userland, a process
 * waits for it; without one, it is one of the shell's commands, or the check
 * module takes it and leaves its fields in the kernel environment.
 */

#include "facts.h"
#include "libc.h"
#include "report.h"
#include "syscall.h"

#include "protocol.h"
#include "shell.h"

#define POLL_NANOSECONDS	20000000
#define SETTLE_NANOSECONDS	200000000
#define SEED_WRITES		64	/* random(4) spreads a write over four of its 32 pools */
#define SEED_MAX		64
#define FIELD_SIZE		129	/* hexadecimal, with a NUL */

static void
rest(int64_t nanoseconds)
{
	struct timespec time = { .nanoseconds = nanoseconds };

	(void)syscall(SYS_nanosleep, (uintptr_t)&time, 0, 0, 0, 0, 0);
}

static void
set_clock(long seconds)
{
	struct timespec time = { .seconds = seconds };

	(void)syscall(SYS_clock_settime, CLOCK_REALTIME, (uintptr_t)&time, 0, 0, 0, 0);
}

/* Fortuna takes it over with the first bytes that are read 0.1 s after the last time it did so. */
static void
mix_in(const char *seed, size_t length)
{
	char block[SEED_MAX + sizeof(int)];
	int64_t device = open("/dev/random", O_RDWR);

	if (device < 0)
		return;
	memcpy(block + sizeof(int), seed, length);
	for (int i = 0; i < SEED_WRITES; i++) {
		memcpy(block, &i, sizeof(i));
		(void)syscall(SYS_write, (uint64_t)device, (uintptr_t)block, sizeof(i) + length, 0, 0,
		    0);
	}
	rest(SETTLE_NANOSECONDS);
	(void)syscall(SYS_read, (uint64_t)device, (uintptr_t)block, sizeof(block), 0, 0, 0);
	close(device);
}

static void
print_ready(int64_t console, const char *nonce)
{
	static char line[64];
	struct text text = text_into(line, sizeof(line));

	text_string(&text, "@harness-ready ");
	text_string(&text, nonce);
	text_string(&text, " ssh.\n");
	(void)syscall(SYS_write, (uint64_t)console, (uintptr_t)line, (uint64_t)(text.at - line), 0, 0,
	    0);
}

void
guest_renew(const char *nonce, long time, const char *seed, size_t length)
{
	int64_t console;

	set_clock(time);
	mix_in(seed, length);
	kenv_set("harness.nonce", nonce);
	/* Opened anew: init(8) revokes it. */
	console = open("/dev/console", O_RDWR | O_NOCTTY);
	report_facts(nonce);
	report_print(console, 1);
	if (kenv_is_one("harness.world"))
		print_ready(console, nonce);
	close(console);
}

void
renew_wait_if_asked(void)
{
	char c;

	/* The parent becomes init(8); this process waits beside it. */
	if (!kenv_is_one("harness.renew") ||
	    syscall(SYS_fork, 0, 0, 0, 0, 0, 0) != 0)
		return;
	if (!port_open())
		(void)syscall(SYS_exit, 1, 0, 0, 0, 0, 0);
	probe_register(renew_obey);
	for (;;) {
		while (!port_has_byte())
			rest(POLL_NANOSECONDS);
		do {
			c = port_read();
			probe_take(c);
		} while (c != '\n');
	}
}

void
renew_for_module_if_asked(void)
{
	static char nonce[FIELD_SIZE], seed[FIELD_SIZE], time[FIELD_SIZE];
	const char *at = time;
	int64_t seconds;

	if (!kenv_is_one("harness.renew"))
		return;
	kenv_set("harness.renew.ready", "1");
	while (!kenv_get("harness.renew.nonce", nonce, sizeof(nonce)))
		rest(POLL_NANOSECONDS);
	if (kenv_get("harness.renew.seed", seed, sizeof(seed)) &&
	    kenv_get("harness.renew.time", time, sizeof(time)) && read_number(&at, &seconds))
		(void)renew_take(nonce, seconds, seed);
}
