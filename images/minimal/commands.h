/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef COMMANDS_H
#define COMMANDS_H

int	do_sysctl(int argc, char **argv);	/* sysctls.c */

#endif
