/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef CHECK_H
#define CHECK_H

/* With the tunable harness.check: obeys "harness check" until the guest is ended. */
void	check_init(void);

#endif
