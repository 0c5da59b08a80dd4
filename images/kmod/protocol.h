/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef PROTOCOL_H
#define PROTOCOL_H

/*
 * The channel between "harness check" and a guest, from the guest's side.
 * Commands and answers are lines of the probe report's form, on a serial port
 * of their own:
 *
 *	@harness NNNN name key=value key=value *CCCCCCCC
 *
 * An answer has its command's number.  README.md tells all commands;
 * harness/check/protocol.py is the other side.  Both the kernel module and the
 * built-in guest are built with this file, a subsystem's part, and functions of
 * their own; the built-in guest and init with images/shell, too.
 */

#ifdef _KERNEL
#include <sys/param.h>
#include <sys/systm.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "string.h"
#endif

#include "text.h"

/*
 * protocol.c: takes a byte of the channel.  A line that is none of ours is
 * answered with an error.
 */
void	probe_take(char c);

/* protocol.c, of the command that was read. */
bool	probe_is_command(const char *name);
const char *probe_value(const char *key);	/* up to a blank or NUL; NULL: there is none */
long	probe_number(const char *key);	/* -1: the command has none so called */

/* protocol.c: an answer to it; those with a reason refuse for that, unless it is NULL. */
struct text *probe_begin(const char *name);
void	probe_field(const char *key, uint64_t number);
void	probe_finish(void);
void	probe_refused(const char *why);
void	probe_done(const char *why);

/*
 * protocol.c, for a subsystem's part: what is registered looks at each command
 * that protocol.c does not know by itself, and returns whether it was its own
 * and is answered.
 */
void	probe_register(bool (*obey)(void));

/* The guest's part. */
void		 probe_send(const char *text, size_t length);
const char	*probe_guest(void);
int		 probe_domains(void);
int		 probe_cpus(void);
void		 memory_low(int domain, bool low);	/* the domain counts as short of memory */
void		 memory_recover(void);			/* none does */

#endif
