/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* The guest's commands on its second serial port, with the tunable harness.shell. */

#include "channel.h"
#include "commands.h"
#include "numa.h"
#include "plant.h"
#include "protocol.h"
#include "report.h"
#include "shell.h"

struct sysctl {
	const char *name;
	void	  (*print)(void);
};

static void
print_domains(void)
{
	shell_print_number((unsigned)vm_ndomains);
}

static void
print_cpus(void)
{
	shell_print_number((unsigned)mp_ncpus);
}

static void
print_release(void)
{
	shell_print(RELEASE);
}

static void
print_ident(void)
{
	shell_print(HARNESS_IDENT);
}

static void
print_version(void)
{
	shell_print(version);
}

static void
print_messages(void)
{
	const char *text;
	size_t length;

	for (int part = 0; part < MSGBUF_PARTS; part++) {
		text = msgbuf_part(part, &length);
		shell_out(text, length);
	}
}

/* By names of FreeBSD's, as far as there is something to tell. */
static const struct sysctl sysctls[] = {
	{ "hw.ncpu", print_cpus },
	{ "kern.ident", print_ident },
	{ "kern.msgbuf", print_messages },
	{ "kern.osrelease", print_release },
	{ "kern.version", print_version },
	{ "vm.ndomains", print_domains },
};

static int
print_sysctl(const char *name, bool with_name)
{
	for (size_t i = 0; i < nitems(sysctls); i++)
		if (strcmp(sysctls[i].name, name) == 0) {
			if (with_name) {
				shell_print(name);
				shell_print(": ");
			}
			sysctls[i].print();
			shell_print("\n");
			return (0);
		}
	return (shell_fail("sysctl", name, "unknown oid"));
}

static int
do_sysctl(int argc, char **argv)
{
	bool bare = argc > 1 && strcmp(argv[1], "-n") == 0;
	int status = 0;

	for (int i = bare ? 2 : 1; i < argc; i++)
		status |= print_sysctl(argv[i], !bare);
	return (status);
}

static __noinline int
do_panic(int argc, char **argv)
{
	panic("%s", argc > 1 ? argv[1] : "by command");
}

static int
do_plant(int argc, char **argv)
{
	if (argc != 2 || !plant(argv[1]))
		return (shell_fail("plant", argc == 2 ? argv[1] : "", "no such plant"));
	return (0);
}

const struct shell_command shell_commands[] = {
	{ "panic", do_panic },
	{ "plant", do_plant },
	{ "sysctl", do_sysctl },
	{ NULL, NULL },
};

/* This guest has neither a clock nor random numbers. */
void
guest_renew(const char *nonce, long time, const char *seed, size_t length)
{
	(void)time, (void)seed, (void)length;
	report_nonce(nonce);
	report_print();
}

void
commands_init(void)
{
	channel_offer("harness.shell", shell_obey);
	channel_offer("harness.renew", renew_obey);
}
