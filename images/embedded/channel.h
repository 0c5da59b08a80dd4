/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include "kernel.h"

/*
 * If the tunable is not 0, commands of the channel are obeyed.  Call before the
 * report, whose end is the harness's signal to start.
 */
void	channel_offer(const char *tunable, bool (*obey)(void));

/* Serves the channel until the guest is ended, if something was offered. */
void	channel_run(void);

#endif
