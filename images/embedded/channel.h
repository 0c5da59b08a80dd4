/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include "kernel.h"

bool	channel_open(void);	/* false: the machine has no such port */
void	channel_serve(void) __dead2;

#endif
