/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* In the place of the tree's subr_smr.c where that does not compile: no zone uses it then. */

long
smr_init(void)
{
	return (0);
}
