/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Sleeping and time.  A thread that sleeps is woken by another one.  When none
 * can run, time passes until somebody wakes it, a handler or a callout.  If
 * there is nobody, that is what the program ends with.
 */

#include "threads.h"

#include <sys/callout.h>
#include <sys/queue.h>
#include <sys/rwlock.h>
#include <sys/sleepqueue.h>
#include <sys/sx.h>
#include <sys/taskqueue.h>
#include <sys/time.h>

#include "races.h"

#define CALLOUTS	16
#define TIMEOUTS	4
#define HANDLED_MAX	100000	/* times that one sleep is seen without being ended */

int hz = 1000;
int tick = 1000;
volatile int ticks = 1000;
sbintime_t tick_sbt = SBT_1S / 1000;
volatile time_t time_uptime = 1;
volatile time_t time_second = 1;

static struct callout *pending[CALLOUTS];

void
sleep_handler(void (*wake)(void))
{
	thread_now()->handler = wake;
}

/* --- the lock of sleepqueues: a spin lock, in which nobody else runs on its CPU --- */

static struct lock_object chain = { .lo_name = "sleepq chain" };
static volatile uintptr_t chain_owner;		/* 0: nobody */

static bool
chain_is_free(const struct kern_thread *thread __unused)
{
	return (chain_owner == 0);
}

static void
chain_lock(void)
{
	threads_point(POINT_LOCK, &chain);
	if (chain_owner == (uintptr_t)curthread)
		kern_end(END_PANIC, "sleepq_lock: recursed on non-recursive lock %s", chain.lo_name);
	while (chain_owner != 0) {
		thread_now()->wanted = &chain;
		threads_block(chain_is_free);
		thread_now()->wanted = NULL;
	}
	chain_owner = (uintptr_t)curthread;
	races_acquire(&chain);
	curthread->td_critnest++;
}

static void
chain_unlock(void)
{
	if (chain_owner != (uintptr_t)curthread)
		kern_end(END_PANIC, "sleepq_release: lock %s is not owned", chain.lo_name);
	races_release(&chain);
	chain_owner = 0;
	curthread->td_critnest--;
	threads_point(POINT_UNLOCKED, &chain);
}

/* --- wakeup(9) ------------------------------------------------------------ */

static unsigned long sleeps;	/* so far, so that the first that sleeps is woken first */

static void
fall_asleep(const void *channel)
{
	struct kern_thread *thread = thread_now();

	thread->slept_on = channel;
	thread->slept_since = ++sleeps;
}

static struct kern_thread *
first_asleep(const void *channel)
{
	struct kern_thread *first = NULL;

	for (unsigned i = 0; i <= threads_count; i++) {
		struct kern_thread *thread = &kern_threads[i];

		if (channel != NULL && thread->slept_on == channel &&
		    (first == NULL || thread->slept_since < first->slept_since))
			first = thread;
	}
	return (first);
}

void
wakeup_one(const void *channel)
{
	struct kern_thread *first;

	threads_point(POINT_WAKEUP, channel);
	chain_lock();
	if ((first = first_asleep(channel)) != NULL)
		first->slept_on = NULL;
	chain_unlock();
}

void
wakeup_any(const void *channel)
{
	wakeup_one(channel);
}

void
wakeup(const void *channel)
{
	struct kern_thread *first;

	threads_point(POINT_WAKEUP, channel);
	chain_lock();
	while ((first = first_asleep(channel)) != NULL)
		first->slept_on = NULL;
	chain_unlock();
}

/* --- callout(9) ----------------------------------------------------------- */

void
callout_init(struct callout *c, int mpsafe)
{
	(void)mpsafe;
	memset(c, 0, sizeof(*c));
}

void
_callout_init_lock(struct callout *c, struct lock_object *lock, int flags)
{
	(void)lock, (void)flags;
	memset(c, 0, sizeof(*c));
}

static int
forget(struct callout *c)
{
	for (int i = 0; i < CALLOUTS; i++)
		if (pending[i] == c) {
			pending[i] = NULL;
			return (1);
		}
	return (0);
}

int
callout_reset_sbt_on(struct callout *c, sbintime_t sbt, sbintime_t precision,
    callout_func_t *function, void *argument, int cpu, int flags)
{
	int was = forget(c), place = 0;

	(void)precision, (void)cpu, (void)flags;
	while (place < CALLOUTS && pending[place] != NULL)
		place++;
	if (place == CALLOUTS)
		kern_end(END_EXHAUSTED, "more than %d callouts", CALLOUTS);
	c->c_time = sbt;
	c->c_func = function;
	c->c_arg = argument;
	pending[place] = c;
	return (was);
}

int
callout_schedule(struct callout *c, int to_ticks)
{
	return (callout_reset_sbt_on(c, tick_sbt * to_ticks, 0, c->c_func, c->c_arg, -1, 0));
}

#if __FreeBSD_version >= 1400000
int
_callout_stop_safe(struct callout *c, int flags)
{
	(void)flags;
	return (forget(c));
}
#else
int
_callout_stop_safe(struct callout *c, int flags, callout_func_t *drain)
{
	(void)flags, (void)drain;
	return (forget(c));
}
#endif

static bool
run_callout(void)
{
	struct callout *first = NULL;

	for (int i = 0; i < CALLOUTS; i++)
		if (pending[i] != NULL && (first == NULL || pending[i]->c_time < first->c_time))
			first = pending[i];
	if (first == NULL)
		return (false);
	forget(first);
	first->c_func(first->c_arg);
	return (true);
}

/* --- sleep(9) ------------------------------------------------------------- */

static bool
is_awake(const struct kern_thread *thread)
{
	return (thread->slept_on == NULL || thread->idle);
}

/* Sleeps on the channel until it is woken, whoever does it. */
static void
sleep_on(const char *wmesg)
{
	struct kern_thread *thread = thread_now();

	if (locks_held() > 0)
		kern_end(END_INVARIANT, "sleeps (%s) with a lock held: %s", wmesg, locks_last());
	if (curthread->td_critnest > 0)
		kern_end(END_INVARIANT, "sleeps (%s) in a critical section", wmesg);
	curthread->td_wmesg = wmesg;
	for (unsigned seen = 0; thread->slept_on != NULL; seen++) {
		if (threads_count > 0) {
			thread->idle = false;
			threads_block(is_awake);
			if (thread->slept_on == NULL)
				break;
		}
		if (seen == HANDLED_MAX)
			kern_end(END_ASLEEP, "%s: what wakes it does not", wmesg);
		if (thread->handler != NULL)
			thread->handler();
		else if (!run_callout())
			kern_end(END_ASLEEP, "%s", wmesg);
	}
	thread->idle = false;
	races_acquire(&chain);
	curthread->td_wmesg = NULL;
}

int
_sleep(const void *channel, struct lock_object *lock, int priority, const char *wmesg,
    sbintime_t sbt, sbintime_t pr, int flags)
{
	struct mtx *interlock = (struct mtx *)lock;

	(void)pr, (void)flags;
	chain_lock();
	fall_asleep(sbt == 0 ? channel : NULL);
	if (interlock != NULL)
		mtx_unlock(interlock);
	chain_unlock();
	sleep_on(wmesg);
	if (interlock != NULL && (priority & PDROP) == 0)
		mtx_lock(interlock);
	return (sbt == 0 ? 0 : EWOULDBLOCK);
}

int
pause_sbt(const char *wmesg, sbintime_t sbt, sbintime_t pr, int flags)
{
	(void)wmesg, (void)sbt, (void)pr, (void)flags;
	run_callout();
	threads_point(POINT_WAKEUP, wmesg);
	return (EWOULDBLOCK);
}

/* --- sleepqueue(9) -------------------------------------------------------- */

void
sleepq_lock(const void *channel)
{
	(void)channel;
	chain_lock();
}

void
sleepq_release(const void *channel)
{
	(void)channel;
	chain_unlock();
}

void
sleepq_add(const void *channel, struct lock_object *lock, const char *wmesg, int flags, int queue)
{
	(void)lock, (void)flags, (void)queue;
	fall_asleep(channel);
	curthread->td_wmesg = wmesg;
}

void
sleepq_wait(const void *channel, int priority)
{
	(void)channel, (void)priority;
	chain_unlock();
	sleep_on(curthread->td_wmesg);
}

/* --- taskqueue(9): tasks that are run when their time has come ------------- */

static struct timeout_task *timeouts[TIMEOUTS];
static unsigned timeout_count;

void
_timeout_task_init(struct taskqueue *queue, struct timeout_task *task, int priority,
    task_fn_t *function, void *context)
{
	(void)queue;
	if (timeout_count == TIMEOUTS)
		kern_end(END_EXHAUSTED, "more than %d timeout tasks", TIMEOUTS);
	TASK_INIT(&task->t, priority, function, context);
	timeouts[timeout_count++] = task;
}

bool
run_timeouts(void)
{
	for (unsigned i = 0; i < timeout_count; i++)
		timeouts[i]->t.ta_func(timeouts[i]->t.ta_context, 1);
	return (timeout_count > 0);
}
