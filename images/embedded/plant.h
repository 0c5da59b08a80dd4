/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef PLANT_H
#define PLANT_H

void	plant_run(void);

#endif
