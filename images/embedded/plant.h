/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef PLANT_H
#define PLANT_H

#include <stdbool.h>

/* The fault of that name; false: there is none. */
bool	plant(const char *name);

/* The fault that the tunable harness.plant names. */
void	plant_run(void);

#endif
