/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef ACCESS_H
#define ACCESS_H

/* access.c: the tree's code is about to access memory.  Plain C types only. */

void	access_atomic(const void *object);
void	access_add(const void *object);
void	access_load(const void *object);
void	access_store(const void *object);
void	access_fence(void);

#endif
