/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef COMMANDS_H
#define COMMANDS_H

/* With the tunable harness.shell: runs commands until the guest is ended. */
void	commands_init(void);

#endif
