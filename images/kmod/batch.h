/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef BATCH_H
#define BATCH_H

/*
 * Takes a byte of the channel, before probe_take() does.  A batch, a line with
 * several commands, is passed on as the lines of these commands.
 */
void	batch_take(char c);

#endif
