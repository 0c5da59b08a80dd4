/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* The guests' shell as a program of the host: the channel is its standard input and output. */

#include <stdio.h>
#include <stdlib.h>

#include "protocol.h"
#include "shell.h"

void
probe_send(const char *text, size_t length)
{
	fwrite(text, 1, length, stdout);
	fflush(stdout);
}

const char *
probe_guest(void)
{
	return ("host");
}

int
probe_domains(void)
{
	return (1);
}

int
probe_cpus(void)
{
	return (1);
}

/* As many bytes of output, which tell their place. */
static int
do_count(int argc, char **argv)
{
	for (long i = 0; i < (argc == 2 ? atol(argv[1]) : 0); i++) {
		char byte = (char)(i % 251);

		shell_out(&byte, 1);
	}
	return (0);
}

/* What is no answer: words on the channel. */
static int
do_say(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		probe_send(argv[i], strlen(argv[i]));
	probe_send("\n", 1);
	return (0);
}

/* The next command that comes is lost, and this one has no answer. */
static int
do_swallow(int argc, char **argv)
{
	(void)argc, (void)argv;
	while (getchar() != '\n')
		continue;
	return (0);
}

static int
do_leave(int argc, char **argv)
{
	(void)argc, (void)argv;
	exit(0);
}

const struct shell_command shell_commands[] = {
	{ "count", do_count },
	{ "leave", do_leave },
	{ "say", do_say },
	{ "swallow", do_swallow },
	{ NULL, NULL },
};

int
main(void)
{
	int byte;

	probe_register(shell_obey);
	while ((byte = getchar()) != EOF)
		probe_take((char)byte);
	return (0);
}
