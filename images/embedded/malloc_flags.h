/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef MALLOC_FLAGS_H
#define MALLOC_FLAGS_H

/* What an allocation may do; names and values are FreeBSD's. */
#define M_NOWAIT	0x0001	/* must not sleep */
#define M_WAITOK	0x0002	/* may sleep, and then does not fail */
#define M_ZERO		0x0100
#define M_NOVM		0x0200	/* must not ask for pages */
#define M_USE_RESERVE	0x0400	/* may take what is kept back */

#endif
