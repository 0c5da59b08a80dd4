/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * One word that says who owns a lock, whatever kind of lock it is of, so that
 * the kernel's assertions are really checked, and so is that none is held in a
 * sleep.  A thread blocks at a lock that another one has; where there is no
 * other, a lock that is not free is its own.
 */

#include "threads.h"

#include <sys/rwlock.h>
#include <sys/sx.h>

#include "lockwords.h"
#include "races.h"

unsigned
locks_held(void)
{
	return (thread_now()->held_count);
}

const char *
lock_name(const struct lock_object *lock)
{
	return (lock->lo_name != NULL ? lock->lo_name : "without a name");
}

const char *
locks_last(void)
{
	const struct kern_thread *thread = thread_now();

	return (thread->held_count > 0 ? lock_name(thread->held[thread->held_count - 1]) : "none");
}

/*
 * A thread that searches memory for ever takes a lock in each round.  This many
 * no operation needs, and unlike CPU time they are the same on every host.
 */
#define TAKEN_MAX	200000

void
locks_begin(void)
{
	thread_now()->taken = 0;
	thread_now()->steps = 0;
}

static void
hold(const struct lock_object *lock)
{
	struct kern_thread *thread = thread_now();

	if (++thread->taken > TAKEN_MAX)
		kern_end(END_INVARIANT, "an operation does not end: it takes locks again and again");
	if (thread->held_count == HELD_MAX)
		kern_end(END_INVARIANT, "more than %d locks are held", HELD_MAX);
	thread->held[thread->held_count++] = lock;
}

void
lock_forget(const struct lock_object *lock)
{
	struct kern_thread *thread = thread_now();
	unsigned place = thread->held_count;

	while (place > 0 && thread->held[place - 1] != lock)
		place--;
	if (place == 0)
		return;
	for (thread->held_count--; place <= thread->held_count; place++)
		thread->held[place - 1] = thread->held[place];
}

/* A word that says that readers have the lock, and how many (rwlock(9), sx(9)). */
#define READERS		RW_LOCK_READ
#define ONE_READER	RW_ONE_READER
_Static_assert(SX_LOCK_SHARED == READERS && SX_ONE_SHARER == ONE_READER, "both kinds are alike");
_Static_assert(RW_UNLOCKED == READERS && SX_LOCK_UNLOCKED == READERS, "no reader");

static bool
is_free(const struct kern_thread *thread)
{
	return (*thread->wanted_word == thread->wanted_value);
}

static bool
has_no_writer(const struct kern_thread *thread)
{
	return ((*thread->wanted_word & READERS) != 0);
}

/* Another thread has it: this one waits until it is free, by the word that it has then. */
static void
wait_for(const struct lock_object *lock, const volatile uintptr_t *word, uintptr_t unowned,
    bool (*ready)(const struct kern_thread *))
{
	struct kern_thread *thread = thread_now();

	if (thread->td.td_critnest > 0)
		kern_end(END_INVARIANT, "blocks on lock %s in a critical section", lock_name(lock));
	thread->wanted = lock;
	thread->wanted_word = word;
	thread->wanted_value = unowned;
	threads_block(ready);
	thread->wanted = NULL;
}

bool
lock_has_readers(uintptr_t word)
{
	return ((word & READERS) != 0 && word >= ONE_READER);
}

/* Another thread, which gives the lock up as soon as somebody waits for it. */
static struct thread contender __attribute__((aligned(CACHE_LINE_SIZE)));

void
locks_contend(volatile uintptr_t *word)
{
	if (*word == MTX_UNOWNED)
		*word = (uintptr_t)&contender;
}

static bool
is_given_up(uintptr_t word)
{
	return (word == (uintptr_t)&contender);
}

/* One word that says who owns it, whatever kind of lock it is of. */
void
lock_take(struct lock_object *lock, volatile uintptr_t *word, uintptr_t unowned, const char *kind)
{
	threads_point(POINT_LOCK, lock);
	if (__predict_false(is_given_up(*word)))
		*word = unowned;
	while (*word != unowned) {
		if ((*word & ~(uintptr_t)(CACHE_LINE_SIZE - 1)) ==
		    ((uintptr_t)curthread & ~(uintptr_t)(CACHE_LINE_SIZE - 1)))
			kern_end(END_PANIC, "%s: recursed on non-recursive lock %s", kind,
			    lock_name(lock));
		if (!threads_is_owner(*word) &&
		    !(unowned == READERS && lock_has_readers(*word) && threads_count > 0))
			kern_end(END_PANIC, "%s: lock %s is not initialized, or destroyed", kind,
			    lock_name(lock));
		wait_for(lock, word, unowned, is_free);
	}
	*word = (uintptr_t)curthread;
	hold(lock);
	races_acquire(lock);
}

void
lock_give(struct lock_object *lock, volatile uintptr_t *word, uintptr_t unowned, const char *kind)
{
	if (*word != (uintptr_t)curthread)
		kern_end(END_PANIC, "%s: lock %s is not owned", kind, lock_name(lock));
	races_release(lock);
	*word = unowned;
	lock_forget(lock);
	threads_point(POINT_UNLOCKED, lock);
}

bool
lock_owned(const volatile uintptr_t *word)
{
	return (*word == (uintptr_t)curthread);
}

/* A reader. */
void
lock_share(struct lock_object *lock, volatile uintptr_t *word, const char *kind)
{
	threads_point(POINT_LOCK, lock);
	while ((*word & READERS) == 0) {
		if (lock_owned(word))
			kern_end(END_PANIC, "%s: recursed on non-recursive lock %s", kind,
			    lock_name(lock));
		if (!threads_is_owner(*word))
			kern_end(END_PANIC, "%s: lock %s is not initialized, or destroyed", kind,
			    lock_name(lock));
		wait_for(lock, word, READERS, has_no_writer);
	}
	*word += ONE_READER;
	hold(lock);
	races_acquire(lock);
}

void
lock_unshare(struct lock_object *lock, volatile uintptr_t *word, const char *kind)
{
	if (!lock_has_readers(*word))
		kern_end(END_PANIC, "%s: lock %s is not owned", kind, lock_name(lock));
	races_release(lock);
	*word -= ONE_READER;
	lock_forget(lock);
	threads_point(POINT_UNLOCKED, lock);
}
