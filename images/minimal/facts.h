/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef FACTS_H
#define FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each adds its records to the report. */

void	report_kernel(void);		/* identity.c */
void	report_topology(void);		/* facts.c */
void	report_subsystems(int domains);	/* subsystems.c */
void	report_tables(void);		/* acpi.c */

/* facts.c: all of them, as a new report. */
void	report_facts(const char *nonce);

int	count_domains(void);

/* The kernel environment; false for what is not there or too long. */
bool	kenv_get(const char *name, char *value, size_t size);	/* kenv.c */
bool	kenv_is_one(const char *name);
void	kenv_set(const char *name, const char *value);

/*
 * commands.c: with the tunable harness.shell=1, runs commands until the guest is
 * ended.  Open it before the report, whose end is the harness's signal to start.
 */
void	shell_open(int64_t console);
void	shell_serve(void);

void	become_init_if_asked(void);	/* world.c */
void	renew_wait_if_asked(void);	/* renew.c: returns in the parent, beside which it waits */
void	renew_for_module_if_asked(void);	/* renew.c: returns when it was renewed */
void	keep_if_asked(void);		/* keep.c */
void	power_off(void) __attribute__((noreturn));	/* power.c */

#endif
