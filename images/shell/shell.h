/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef SHELL_H
#define SHELL_H

/*
 * Commands for guests without a userland, on the channel of images/kmod
 * (README.md has the protocol).  shell.c reads a command line as sh(1) does, as
 * far as it goes, and has true, false, exit and echo; each guest has a table of
 * its other commands.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

#define SHELL_USAGE	2	/* exit status: an argument is wrong */

struct shell_command {
	const char *name;
	int	  (*run)(int argc, char **argv);	/* returns the exit status */
};

/* The guest's own commands; the last one has no name. */
extern const struct shell_command shell_commands[];

/* For probe_register(): answers "run". */
bool	shell_obey(void);

/* Output of the command that runs, of any length. */
void	shell_out(const char *data, size_t length);
void	shell_print(const char *text);
void	shell_print_number(unsigned long long number);

/* On standard error: "NAME: SUBJECT: WHY"; returns exit status 1. */
int	shell_fail(const char *name, const char *subject, const char *why);

/* Adds a field whose bytes are hexadecimal, in an answer that was begun. */
void	shell_field(struct text *text, const char *key, const char *data, size_t length);

/* The bytes of hexadecimal text, up to a blank or NUL; -1 if it is wrong, or there are more. */
long	shell_decode(const char *text, char *buffer, size_t size);

/* The bytes of a command's field, which is hexadecimal; -1 if there is none, or it is wrong. */
long	shell_bytes(const char *key, char *buffer, size_t size);

/* renew.c, for probe_register(): answers "renew". */
bool	renew_obey(void);

/* renew.c: renews the guest by the command's fields as they are; false: one lacks or is wrong. */
bool	renew_take(const char *nonce, long time, const char *seed);

/*
 * The guest's part: sets the clock to seconds since 1970, mixes the seed into its
 * random numbers, takes over the nonce, and reports on the console.
 */
void	guest_renew(const char *nonce, long time, const char *seed, size_t length);

#endif
