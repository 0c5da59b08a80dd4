/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* Replaces the tree's subr_smr.c if that does not compile; no zone uses SMR then. */

long
smr_init(void)
{
	return (0);
}
