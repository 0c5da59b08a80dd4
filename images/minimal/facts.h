/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef FACTS_H
#define FACTS_H

/* Each adds its records to the report. */

void	report_kernel(void);		/* facts.c */
void	report_topology(void);
void	report_zones(int domains);	/* zones.c */
void	report_tables(void);		/* acpi.c */

int	count_domains(void);

void	keep_if_asked(void);		/* keep.c */
void	power_off(void) __attribute__((noreturn));	/* power.c */

#endif
