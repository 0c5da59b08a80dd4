/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Locks with owners, so that the kernel's assertions are really checked, and so
 * is that none is held in a sleep.  There is one thread: a lock that is not free
 * is its own.
 */

#include "kern.h"

#include <sys/lock.h>
#include <sys/mutex.h>
#include <sys/proc.h>
#include <sys/rwlock.h>
#include <sys/sx.h>

#define HELD_MAX	64

#if __FreeBSD_version >= 1400000
#define SYSINIT_ARGUMENT	const void *
#else
#define SYSINIT_ARGUMENT	void *
#endif

static const struct lock_object *held[HELD_MAX];
static unsigned held_count;

unsigned
locks_held(void)
{
	return (held_count);
}

const char *
locks_last(void)
{
	const char *name = held_count > 0 ? held[held_count - 1]->lo_name : NULL;

	return (name != NULL ? name : "a lock");
}

/*
 * A thread that searches memory for ever takes a lock in each round.  This many
 * no operation needs, and unlike CPU time they are the same on every host.
 */
#define TAKEN_MAX	1000000

static unsigned long taken;

void
locks_begin(void)
{
	taken = 0;
}

static void
hold(const struct lock_object *lock)
{
	if (++taken > TAKEN_MAX)
		kern_end(END_INVARIANT, "an operation does not end: it takes locks again and again");
	if (held_count == HELD_MAX)
		kern_end(END_INVARIANT, "more than %d locks are held", HELD_MAX);
	held[held_count++] = lock;
}

static void
let_go(const struct lock_object *lock)
{
	unsigned place = held_count;

	while (place > 0 && held[place - 1] != lock)
		place--;
	if (place == 0)
		return;
	for (held_count--; place <= held_count; place++)
		held[place - 1] = held[place];
}

static const char *
name_of(const struct lock_object *lock)
{
	return (lock->lo_name != NULL ? lock->lo_name : "without a name");
}

/* One word that says who owns it, whatever kind of lock it is of. */
static void
take(struct lock_object *lock, volatile uintptr_t *word, uintptr_t unowned, const char *kind)
{
	if (*word != unowned) {
		if ((*word & ~(uintptr_t)(CACHE_LINE_SIZE - 1)) ==
		    ((uintptr_t)curthread & ~(uintptr_t)(CACHE_LINE_SIZE - 1)))
			kern_end(END_PANIC, "%s: recursed on non-recursive lock %s", kind,
			    name_of(lock));
		kern_end(END_PANIC, "%s: lock %s is not initialized, or destroyed", kind,
		    name_of(lock));
	}
	*word = (uintptr_t)curthread;
	hold(lock);
}

static void
give(struct lock_object *lock, volatile uintptr_t *word, uintptr_t unowned, const char *kind)
{
	if (*word != (uintptr_t)curthread)
		kern_end(END_PANIC, "%s: lock %s is not owned", kind, name_of(lock));
	*word = unowned;
	let_go(lock);
}

static bool
owned(const volatile uintptr_t *word)
{
	return (*word == (uintptr_t)curthread);
}

/* Readers own a lock as a writer does, but may take it more than once. */
static void
share(struct lock_object *lock, volatile uintptr_t *word, uintptr_t unowned, const char *kind)
{
	if (owned(word))
		lock->lo_data++;
	else
		take(lock, word, unowned, kind);
}

static void
unshare(struct lock_object *lock, volatile uintptr_t *word, uintptr_t unowned, const char *kind)
{
	if (owned(word) && lock->lo_data > 0)
		lock->lo_data--;
	else
		give(lock, word, unowned, kind);
}

/* --- mutex(9) ------------------------------------------------------------- */

#define MUTEX(c)	(__containerof(c, struct mtx, mtx_lock))

void
_mtx_init(volatile uintptr_t *c, const char *name, const char *type, int opts)
{
	(void)type;
	MUTEX(c)->lock_object.lo_name = name;
	MUTEX(c)->lock_object.lo_flags = (opts & MTX_RECURSE) != 0 ? LO_RECURSABLE : 0;
	*c = MTX_UNOWNED;
}

void
_mtx_destroy(volatile uintptr_t *c)
{
	if (owned(c))
		let_go(&MUTEX(c)->lock_object);
	*c = MTX_DESTROYED;
}

void
mtx_sysinit(SYSINIT_ARGUMENT arg)
{
	const struct mtx_args *args = arg;

	mtx_init((struct mtx *)args->ma_mtx, args->ma_desc, NULL, args->ma_opts);
}

static void
mutex_take(volatile uintptr_t *c, const char *kind)
{
	struct mtx *m = MUTEX(c);

	if (owned(c) && (m->lock_object.lo_flags & LO_RECURSABLE) != 0)
		m->mtx_recurse++;
	else
		take(&m->lock_object, c, MTX_UNOWNED, kind);
}

static void
mutex_give(volatile uintptr_t *c, const char *kind)
{
	struct mtx *m = MUTEX(c);

	if (owned(c) && m->mtx_recurse > 0)
		m->mtx_recurse--;
	else
		give(&m->lock_object, c, MTX_UNOWNED, kind);
}

void
__mtx_lock_flags(volatile uintptr_t *c, int opts, const char *file, int line)
{
	(void)opts, (void)file, (void)line;
	mutex_take(c, "mtx_lock");
}

void
__mtx_unlock_flags(volatile uintptr_t *c, int opts, const char *file, int line)
{
	(void)opts, (void)file, (void)line;
	mutex_give(c, "mtx_unlock");
}

void
__mtx_lock_spin_flags(volatile uintptr_t *c, int opts, const char *file, int line)
{
	(void)opts, (void)file, (void)line;
	mutex_take(c, "mtx_lock_spin");
}

void
__mtx_unlock_spin_flags(volatile uintptr_t *c, int opts, const char *file, int line)
{
	(void)opts, (void)file, (void)line;
	mutex_give(c, "mtx_unlock_spin");
}

static int
mutex_try(volatile uintptr_t *c)
{
	if (*c != MTX_UNOWNED)
		return (0);
	mutex_take(c, "mtx_trylock");
	return (1);
}

int
_mtx_trylock_flags_(volatile uintptr_t *c, int opts, const char *file, int line)
{
	(void)opts, (void)file, (void)line;
	return (mutex_try(c));
}

int
_mtx_trylock_flags_int(struct mtx *m, int opts LOCK_FILE_LINE_ARG_DEF)
{
	(void)opts;
	return (mutex_try(&m->mtx_lock));
}

int
__mtx_trylock_spin_flags(volatile uintptr_t *c, int opts, const char *file, int line)
{
	(void)opts, (void)file, (void)line;
	return (mutex_try(c));
}

#if defined(INVARIANTS) || defined(INVARIANT_SUPPORT)
void
__mtx_assert(const volatile uintptr_t *c, int what, const char *file, int line)
{
	bool wanted = (what & MA_OWNED) != 0;

	if (owned(c) != wanted)
		kern_end(END_PANIC, "mutex %s %s at %s:%d", name_of(&MUTEX(c)->lock_object),
		    wanted ? "not owned" : "owned", file, line);
}
#endif

#if LOCK_DEBUG > 0
void
_thread_lock(struct thread *td, int opts, const char *file, int line)
{
	(void)opts, (void)file, (void)line;
	mutex_take(&td->td_lock->mtx_lock, "thread_lock");
}
#else
void
_thread_lock(struct thread *td)
{
	mutex_take(&td->td_lock->mtx_lock, "thread_lock");
}
#endif

void
thread_lock_flags_(struct thread *td, int opts, const char *file, int line)
{
	(void)opts, (void)file, (void)line;
	mutex_take(&td->td_lock->mtx_lock, "thread_lock");
}

/* --- rwlock(9) ------------------------------------------------------------ */

#define RW(c)	(__containerof(c, struct rwlock, rw_lock))

void
_rw_init_flags(volatile uintptr_t *c, const char *name, int opts)
{
	(void)opts;
	RW(c)->lock_object.lo_name = name;
	*c = RW_UNLOCKED;
}

void
_rw_destroy(volatile uintptr_t *c)
{
	*c = RW_DESTROYED;
}

void
rw_sysinit(SYSINIT_ARGUMENT arg)
{
	const struct rw_args *args = arg;

	rw_init_flags((struct rwlock *)args->ra_rw, args->ra_desc, args->ra_flags);
}

void
_rw_wlock_cookie(volatile uintptr_t *c, const char *file, int line)
{
	(void)file, (void)line;
	take(&RW(c)->lock_object, c, RW_UNLOCKED, "rw_wlock");
}

void
_rw_wunlock_cookie(volatile uintptr_t *c, const char *file, int line)
{
	(void)file, (void)line;
	give(&RW(c)->lock_object, c, RW_UNLOCKED, "rw_wunlock");
}

void
__rw_rlock(volatile uintptr_t *c, const char *file, int line)
{
	(void)file, (void)line;
	share(&RW(c)->lock_object, c, RW_UNLOCKED, "rw_rlock");
}

void
_rw_runlock_cookie(volatile uintptr_t *c, const char *file, int line)
{
	(void)file, (void)line;
	unshare(&RW(c)->lock_object, c, RW_UNLOCKED, "rw_runlock");
}

/* What a kernel without INVARIANTS calls. */
void
__rw_rlock_int(struct rwlock *rw LOCK_FILE_LINE_ARG_DEF)
{
	share(&rw->lock_object, &rw->rw_lock, RW_UNLOCKED, "rw_rlock");
}

void
_rw_runlock_cookie_int(struct rwlock *rw LOCK_FILE_LINE_ARG_DEF)
{
	unshare(&rw->lock_object, &rw->rw_lock, RW_UNLOCKED, "rw_runlock");
}

#if defined(INVARIANTS) || defined(INVARIANT_SUPPORT)
void
__rw_assert(const volatile uintptr_t *c, int what, const char *file, int line)
{
	bool wanted = (what & (RA_LOCKED | RA_RLOCKED | RA_WLOCKED)) != 0;

	if (owned(c) != wanted)
		kern_end(END_PANIC, "Lock %s %slocked @ %s:%d", name_of(&RW(c)->lock_object),
		    wanted ? "not " : "", file, line);
}
#endif

/* --- sx(9) ---------------------------------------------------------------- */

void
sx_init_flags(struct sx *sx, const char *description, int opts)
{
	(void)opts;
	sx->lock_object.lo_name = description;
	sx->sx_lock = SX_LOCK_UNLOCKED;
}

void
sx_destroy(struct sx *sx)
{
	sx->sx_lock = SX_LOCK_DESTROYED;
}

void
sx_sysinit(SYSINIT_ARGUMENT arg)
{
	const struct sx_args *args = arg;

	sx_init_flags(args->sa_sx, args->sa_desc, args->sa_flags);
}

int
_sx_xlock(struct sx *sx, int opts, const char *file, int line)
{
	(void)opts, (void)file, (void)line;
	take(&sx->lock_object, &sx->sx_lock, SX_LOCK_UNLOCKED, "sx_xlock");
	return (0);
}

void
_sx_xunlock(struct sx *sx, const char *file, int line)
{
	(void)file, (void)line;
	give(&sx->lock_object, &sx->sx_lock, SX_LOCK_UNLOCKED, "sx_xunlock");
}

int
_sx_slock(struct sx *sx, int opts, const char *file, int line)
{
	(void)opts, (void)file, (void)line;
	share(&sx->lock_object, &sx->sx_lock, SX_LOCK_UNLOCKED, "sx_slock");
	return (0);
}

void
_sx_sunlock(struct sx *sx, const char *file, int line)
{
	(void)file, (void)line;
	unshare(&sx->lock_object, &sx->sx_lock, SX_LOCK_UNLOCKED, "sx_sunlock");
}

int
_sx_slock_int(struct sx *sx, int opts LOCK_FILE_LINE_ARG_DEF)
{
	(void)opts;
	share(&sx->lock_object, &sx->sx_lock, SX_LOCK_UNLOCKED, "sx_slock");
	return (0);
}

void
_sx_sunlock_int(struct sx *sx LOCK_FILE_LINE_ARG_DEF)
{
	unshare(&sx->lock_object, &sx->sx_lock, SX_LOCK_UNLOCKED, "sx_sunlock");
}

#if defined(INVARIANTS) || defined(INVARIANT_SUPPORT)
void
_sx_assert(const struct sx *sx, int what, const char *file, int line)
{
	bool wanted = (what & (SA_LOCKED | SA_SLOCKED | SA_XLOCKED)) != 0;

	if (owned(&sx->sx_lock) != wanted)
		kern_end(END_PANIC, "Lock %s %slocked @ %s:%d", name_of(&sx->lock_object),
		    wanted ? "not " : "", file, line);
}
#endif
