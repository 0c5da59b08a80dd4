/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * One iterator of vm_domainset.c, made and stepped by the channel's thread: the
 * functions look at curthread->td_domain, which is set and read around each
 * call, and at the CPU.  A call that sleeps for memory is woken by a callout, so
 * that one that does not costs no switch of threads.
 */

#include "domainset.h"

#include <sys/callout.h>
#include <sys/domainset.h>
#include <sys/lock.h>
#include <sys/malloc.h>
#include <sys/mutex.h>
#include <sys/proc.h>
#include <sys/rwlock.h>
#include <sys/vmmeter.h>

#include <vm/vm.h>
#include <vm/vm_param.h>
#include <vm/vm_domainset.h>
#include <vm/vm_object.h>
#include <vm/vm_page.h>

#define OBJECT_PAGES	(1UL << 32)

static const uint16_t policies[] = { DOMAINSET_POLICY_ROUNDROBIN, DOMAINSET_POLICY_FIRSTTOUCH,
    DOMAINSET_POLICY_PREFER, DOMAINSET_POLICY_INTERLEAVE };

static struct {
	struct vm_domainset_iter di;
	enum iterator_call call;
	struct domainset_ref ref;	/* what the thread's td_domain is during a call */
	vm_object_t object;		/* that pages are asked for, or NULL */
	vm_pindex_t pindex;
	unsigned wake;			/* mask of the domains that are short after a sleep */
	volatile unsigned slept;
	int domain;
	int flags;
	int error;
	bool exists;
	bool failed;
} iteration;

/* The module's own; made when it is first asked for. */
vm_object_t
iterator_object(void)
{
	static vm_object_t object;

	if (object == NULL)
		object = vm_object_allocate(OBJT_PHYS, OBJECT_PAGES);
	return (object);
}

static bool
is_of_pages(void)
{
	return (iteration.call >= CALL_PAGE);
}

static bool
is_of_thread(void)
{
	return (iteration.call == CALL_POLICY || iteration.call == CALL_PAGE ||
	    iteration.call == CALL_THREAD);
}

/* --- the calls, which differ between releases ----------------------------- */

static int
page_init(void)
{
#if ITER_ERROR
	return (vm_domainset_iter_page_init(&iteration.di, iteration.object, iteration.pindex,
	    &iteration.domain, &iteration.flags));
#else
	vm_domainset_iter_page_init(&iteration.di, iteration.object, iteration.pindex,
	    &iteration.domain, &iteration.flags);
	return (0);
#endif
}

static int
policy_init(void)
{
	struct domainset *set = iteration.ref.dr_policy;
	int error = 0;

#if ITER_ERROR
	if (iteration.call == CALL_REF)
		error = vm_domainset_iter_policy_ref_init(&iteration.di, &iteration.ref,
		    &iteration.domain, &iteration.flags);
	else
		error = vm_domainset_iter_policy_init(&iteration.di, set, &iteration.domain,
		    &iteration.flags);
#else
	if (iteration.call == CALL_REF)
		vm_domainset_iter_policy_ref_init(&iteration.di, &iteration.ref,
		    &iteration.domain, &iteration.flags);
	else
		vm_domainset_iter_policy_init(&iteration.di, set, &iteration.domain,
		    &iteration.flags);
#endif
	return (error);
}

static int
page_step(void)
{
#if ITER_PAGES
	return (vm_domainset_iter_page(&iteration.di, iteration.object, &iteration.domain, NULL));
#else
	return (vm_domainset_iter_page(&iteration.di, iteration.object, &iteration.domain));
#endif
}

/* --- one call ------------------------------------------------------------- */

/* With the object locked, and the thread's policy and place in td_domain. */
static void
with_thread(int (*call)(void))
{
	struct domainset_ref *thread = &curthread->td_domain;
	struct domainset *policy = thread->dr_policy;
	unsigned place = thread->dr_iter;

	if (is_of_thread()) {
		thread->dr_policy = iteration.ref.dr_policy;
		thread->dr_iter = iteration.ref.dr_iter;
	}
	if (iteration.object != NULL)
		VM_OBJECT_WLOCK(iteration.object);
	iteration.error = call();
	if (iteration.object != NULL)
		VM_OBJECT_WUNLOCK(iteration.object);
	if (is_of_thread()) {
		iteration.ref.dr_iter = thread->dr_iter;
		thread->dr_policy = policy;
		thread->dr_iter = place;
	}
}

static int
policy_step(void)
{
	return (vm_domainset_iter_policy(&iteration.di, &iteration.domain));
}

static void
run_start(void *unused __unused)
{
	with_thread(is_of_pages() ? page_init : policy_init);
}

static void
run_step(void *unused __unused)
{
	with_thread(is_of_pages() ? page_step : policy_step);
}

/* --- while it sleeps ------------------------------------------------------ */

static struct callout watch;

/* Looks at each tick whether the call sleeps for memory; it does so once at most. */
static void
bring_memory(void *caller)
{
	if (thread_waits(caller)) {
		iteration.slept++;
		memory_short(iteration.wake);
	} else
		callout_schedule(&watch, 1);
}

static void
watched(int cpu, void (*function)(void *))
{
	iteration.slept = 0;
	callout_init(&watch, 1);
	callout_reset(&watch, 1, bring_memory, curthread);
	run_on(cpu, function, NULL);
	callout_drain(&watch);
}

/* --- what there is to see ------------------------------------------------- */

static int
wait_of(int flags)
{
	int no = is_of_pages() ? VM_ALLOC_NOWAIT : M_NOWAIT;
	int ok = is_of_pages() ? VM_ALLOC_WAITOK : M_WAITOK;
	int fail = is_of_pages() ? VM_ALLOC_WAITFAIL : 0;

	return (((flags & no) != 0 ? WAIT_NO : 0) | ((flags & ok) != 0 ? WAIT_OK : 0) |
	    ((flags & fail) != 0 ? WAIT_FAIL : 0));
}

static int
flags_of(long wait)
{
	if (is_of_pages())
		return (wait == WAIT_OK ? VM_ALLOC_WAITOK :
		    wait == WAIT_FAIL ? VM_ALLOC_WAITFAIL : VM_ALLOC_NOWAIT);
	return (wait == WAIT_OK ? M_WAITOK : M_NOWAIT);
}

#if ITER_MASKS
static unsigned
mask_of(const domainset_t *domains)
{
	unsigned mask = 0;

	for (int domain = 0; domain < vm_ndomains; domain++)
		if (DOMAINSET_ISSET(domain, domains))
			mask |= 1U << domain;
	return (mask);
}
#endif

static void
look(struct iterator_state *state)
{
	const struct vm_domainset_iter *di = &iteration.di;

	iteration.failed = iteration.error != 0;
	state->domain = iteration.domain;
	state->error = iteration.error;
	state->place = iteration.call == CALL_OBJECT ? iteration.object->domain.dr_iter :
	    iteration.ref.dr_iter;
	state->wait = wait_of(iteration.flags);
	state->minskip = di->di_minskip;
#if ITER_MASKS
	state->masked = true;
	state->valid = mask_of(&di->di_valid_mask);
	state->remain = mask_of(&di->di_remain_mask);
	state->min = mask_of(&di->di_min_mask);
#else
	state->masked = false;
	state->n = di->di_n;
#endif
	state->interleaves = di->di_policy == DOMAINSET_POLICY_INTERLEAVE;
	state->offset = state->interleaves ? di->di_offset : 0;
	state->slept = iteration.slept;
}

/* --- operations ----------------------------------------------------------- */

static struct domainset *
set_of(const struct iterator_order *order)
{
	struct domainset key;

	memset(&key, 0, sizeof(key));
	for (int domain = 0; domain < vm_ndomains; domain++)
		if ((order->domains >> domain & 1) != 0)
			DOMAINSET_SET(domain, &key.ds_mask);
	key.ds_policy = policies[order->policy];
	key.ds_prefer = (domainid_t)order->prefer;
	return (domainset_create(&key));
}

static void
prepare_object(const struct iterator_order *order, struct domainset *set)
{
	vm_object_t object = iterator_object();

	VM_OBJECT_WLOCK(object);
	object->domain.dr_policy = order->call == CALL_OBJECT ? set : NULL;
	object->domain.dr_iter = order->call == CALL_OBJECT ? (unsigned)order->place : 0;
	vm_object_clear_flag(object, OBJ_COLORED);
	if (order->color != NO_COLOR)
		vm_object_color(object, (u_short)order->color);
	VM_OBJECT_WUNLOCK(object);
}

const char *
iterator_start(const struct iterator_order *order, int cpu, struct iterator_state *state)
{
	bool of_object = order->call == CALL_OBJECT || order->call == CALL_THREAD;
	struct domainset *set = NULL;

	if (order->policy < (long)nitems(policies) && order->prefer < vm_ndomains &&
	    order->domains >> vm_ndomains == 0)
		set = set_of(order);
	if (set == NULL)
		return ("no-such-set");
#if !ITER_ERROR
	if (set->ds_cnt == 0)
		return ("empty-set");
#endif
	if (set->ds_cnt == 0 && set->ds_policy != DOMAINSET_POLICY_FIRSTTOUCH)
		return ("empty-set");
	if (of_object)
		prepare_object(order, set);
	memset(&iteration, 0, sizeof(iteration));
	iteration.call = order->call;
	iteration.ref.dr_policy = set;
	iteration.ref.dr_iter = (unsigned)order->place;
	iteration.object = of_object ? iterator_object() : NULL;
	iteration.pindex = (vm_pindex_t)order->pindex;
	iteration.domain = -1;
	iteration.flags = flags_of(order->wait);
	iteration.exists = true;
	watched(cpu, run_start);
	look(state);
	return (NULL);
}

const char *
iterator_step(int cpu, unsigned wake, struct iterator_state *state)
{
	if (!iteration.exists)
		return ("no-iterator");
#if !ITER_MASKS
	/* di_n is 0, and would wrap. */
	if (iteration.failed)
		return ("iterator-has-failed");
#endif
	iteration.wake = wake;
	watched(cpu, run_step);
	look(state);
	return (NULL);
}

const char *
iterator_ignore(int domain)
{
	if (!iteration.exists)
		return ("no-iterator");
#if ITER_MASKS
	if (!DOMAINSET_ISSET(domain, &iteration.di.di_valid_mask))
		return ("not-among-the-domains");
	vm_domainset_iter_ignore(&iteration.di, domain);
	return (NULL);
#else
	(void)domain;
	return ("no-such-function");
#endif
}
