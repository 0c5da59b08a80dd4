/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef REPORT_H
#define REPORT_H

#define RELEASE	"embedded-1"
#ifdef KASAN
#define IDENT	"EMBEDDED-KASAN"
#else
#define IDENT	"EMBEDDED"
#endif

void	report_print(void);

#endif
