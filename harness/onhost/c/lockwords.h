/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef LOCKWORDS_H
#define LOCKWORDS_H

/* lockwords.c: locks of all kinds.  ``unowned'' is the word of one that is free. */

void	lock_take(struct lock_object *lock, volatile uintptr_t *word, uintptr_t unowned,
	    const char *kind);
void	lock_give(struct lock_object *lock, volatile uintptr_t *word, uintptr_t unowned,
	    const char *kind);
bool	lock_owned(const volatile uintptr_t *word);
void	lock_forget(const struct lock_object *lock);	/* it is held no longer */

/* Readers, of rwlock(9) and sx(9). */
void	lock_share(struct lock_object *lock, volatile uintptr_t *word, const char *kind);
void	lock_unshare(struct lock_object *lock, volatile uintptr_t *word, const char *kind);
bool	lock_has_readers(uintptr_t word);

#endif
