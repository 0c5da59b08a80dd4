/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef REPORT_H
#define REPORT_H

#define RELEASE		"embedded-1"

/* The banner, by FreeBSD's name: harness/kernel/elf.py reads it out of the file. */
extern const char version[];

void	report_print(void);

/* The nonce of the following reports; by default, that of the tunable. */
void	report_nonce(const char *nonce);

#endif
