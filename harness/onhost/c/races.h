/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef RACES_H
#define RACES_H

/*
 * races.c: which accesses of threads nothing orders, where a program is compiled
 * to look for them; nothing elsewhere.  Plain C types only.
 */

#ifdef RACES

struct access;

void	races_begin(unsigned threads);		/* a command's threads begin */
void	races_access(const struct access *access);
void	races_atomic(const struct access *access, int order);

/* What comes before a release of an object comes before what follows its next acquisitions. */
void	races_acquire(const void *object);
void	races_release(const void *object);

#else
#define races_begin(threads)		((void)0)
#define races_access(access)		((void)0)
#define races_atomic(access, order)	((void)(order))
#define races_acquire(object)		((void)0)
#define races_release(object)		((void)0)
#endif

#endif
