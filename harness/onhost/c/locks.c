/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* mutex(9), rwlock(9) and sx(9), by the words of their locks (lockwords.c). */

#include "threads.h"

#include <sys/rwlock.h>
#include <sys/sx.h>

#include "lockwords.h"

#if __FreeBSD_version >= 1400000
#define SYSINIT_ARGUMENT	const void *
#else
#define SYSINIT_ARGUMENT	void *
#endif

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
	if (lock_owned(c))
		lock_forget(&MUTEX(c)->lock_object);
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

	if (lock_owned(c) && (m->lock_object.lo_flags & LO_RECURSABLE) != 0)
		m->mtx_recurse++;
	else
		lock_take(&m->lock_object, c, MTX_UNOWNED, kind);
}

static void
mutex_give(volatile uintptr_t *c, const char *kind)
{
	struct mtx *m = MUTEX(c);

	if (lock_owned(c) && m->mtx_recurse > 0)
		m->mtx_recurse--;
	else
		lock_give(&m->lock_object, c, MTX_UNOWNED, kind);
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
	threads_point(POINT_LOCK, &MUTEX(c)->lock_object);
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

	if (lock_owned(c) != wanted)
		kern_end(END_PANIC, "mutex %s %s at %s:%d", lock_name(&MUTEX(c)->lock_object),
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
	lock_take(&RW(c)->lock_object, c, RW_UNLOCKED, "rw_wlock");
}

void
_rw_wunlock_cookie(volatile uintptr_t *c, const char *file, int line)
{
	(void)file, (void)line;
	lock_give(&RW(c)->lock_object, c, RW_UNLOCKED, "rw_wunlock");
}

void
__rw_rlock(volatile uintptr_t *c, const char *file, int line)
{
	(void)file, (void)line;
	lock_share(&RW(c)->lock_object, c, "rw_rlock");
}

void
_rw_runlock_cookie(volatile uintptr_t *c, const char *file, int line)
{
	(void)file, (void)line;
	lock_unshare(&RW(c)->lock_object, c, "rw_runlock");
}

/* What a kernel without INVARIANTS calls. */
void
__rw_rlock_int(struct rwlock *rw LOCK_FILE_LINE_ARG_DEF)
{
	lock_share(&rw->lock_object, &rw->rw_lock, "rw_rlock");
}

void
_rw_runlock_cookie_int(struct rwlock *rw LOCK_FILE_LINE_ARG_DEF)
{
	lock_unshare(&rw->lock_object, &rw->rw_lock, "rw_runlock");
}

#if defined(INVARIANTS) || defined(INVARIANT_SUPPORT)
void
__rw_assert(const volatile uintptr_t *c, int what, const char *file, int line)
{
	bool wanted = (what & (RA_LOCKED | RA_RLOCKED | RA_WLOCKED)) != 0;
	bool shared = (what & RA_WLOCKED) == 0 && wanted && lock_has_readers(*c);

	if ((lock_owned(c) || shared) != wanted)
		kern_end(END_PANIC, "Lock %s %slocked @ %s:%d", lock_name(&RW(c)->lock_object),
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
	lock_take(&sx->lock_object, &sx->sx_lock, SX_LOCK_UNLOCKED, "sx_xlock");
	return (0);
}

void
_sx_xunlock(struct sx *sx, const char *file, int line)
{
	(void)file, (void)line;
	lock_give(&sx->lock_object, &sx->sx_lock, SX_LOCK_UNLOCKED, "sx_xunlock");
}

int
_sx_slock(struct sx *sx, int opts, const char *file, int line)
{
	(void)opts, (void)file, (void)line;
	lock_share(&sx->lock_object, &sx->sx_lock, "sx_slock");
	return (0);
}

void
_sx_sunlock(struct sx *sx, const char *file, int line)
{
	(void)file, (void)line;
	lock_unshare(&sx->lock_object, &sx->sx_lock, "sx_sunlock");
}

int
_sx_slock_int(struct sx *sx, int opts LOCK_FILE_LINE_ARG_DEF)
{
	(void)opts;
	lock_share(&sx->lock_object, &sx->sx_lock, "sx_slock");
	return (0);
}

void
_sx_sunlock_int(struct sx *sx LOCK_FILE_LINE_ARG_DEF)
{
	lock_unshare(&sx->lock_object, &sx->sx_lock, "sx_sunlock");
}

#if defined(INVARIANTS) || defined(INVARIANT_SUPPORT)
void
_sx_assert(const struct sx *sx, int what, const char *file, int line)
{
	bool wanted = (what & (SA_LOCKED | SA_SLOCKED | SA_XLOCKED)) != 0;
	bool shared = (what & SA_XLOCKED) == 0 && wanted && lock_has_readers(sx->sx_lock);

	if ((lock_owned(&sx->sx_lock) || shared) != wanted)
		kern_end(END_PANIC, "Lock %s %slocked @ %s:%d", lock_name(&sx->lock_object),
		    wanted ? "not " : "", file, line);
}
#endif
