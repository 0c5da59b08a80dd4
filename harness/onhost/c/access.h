/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef ACCESS_H
#define ACCESS_H

/* access.c: the tree's code is about to access memory, at a place.  Plain C types only. */

/* What an atomic access orders before and after itself; see atomic(9). */
#define ORDER_NONE	0
#define ORDER_ACQUIRE	1
#define ORDER_RELEASE	2
#define ORDER_BOTH	(ORDER_ACQUIRE | ORDER_RELEASE)

struct access {
	const void	*object;
	unsigned long	 size;
	_Bool		 writes;
	const void	*place;		/* the return address of what announces it */
};

#define ACCESS(object, size, writes)					\
	((struct access){ (const void *)(object), (size), (writes),	\
	    __builtin_return_address(0) })

void	access_atomic(struct access access, int order);
void	access_add(struct access access);
void	access_load(struct access access);
void	access_store(struct access access);
void	access_also(struct access access);	/* no switch point of its own */
void	access_fence(int order);
void	access_interrupt_fence(void);

#endif
