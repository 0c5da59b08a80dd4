/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef ZONES_H
#define ZONES_H

/* Zones of all kinds, with buckets, held to invariants; README.md tells the commands. */

#include "check.h"

#include <sys/queue.h>
#include <sys/_task.h>

#include <vm/vm.h>
#include <vm/vm_param.h>
#include <vm/pmap.h>
#include <vm/vm_page.h>
#include <vm/uma.h>
#include <vm/uma_int.h>

#define ZONES_MAX	4	/* of a trace */
#define ZONES_SLOTS	1024	/* items that a trace holds */
#define POOL_ITEMS	256	/* that a cache zone can import */
#define ZONES_DOMAINS	8
#define ZONES_BY_CPU	(-2)	/* the domain of the CPU: uma_zalloc() */

/* Kinds of zones; harness/subsystems/zones/trace.py has the words. */
#define KIND_ROUNDROBIN	0x001
#define KIND_NOBUCKET	0x002
#define KIND_HASHED	0x004	/* NOTPAGE: slabs are found by a hash, in domain 0's lists */
#define KIND_OFFPAGE	0x008	/* NOTOUCH: headers elsewhere */
#define KIND_SECONDARY	0x010	/* shares the keg of the zone ``primary'' */
#define KIND_CACHE	0x020	/* imports its items */
#define KIND_SMR	0x040
#define KIND_PCPU	0x080
#define KIND_NOFREE	0x100
#define KIND_CTOR	0x200	/* a constructor that can fail */
#define KIND_INIT	0x400	/* the keg's initializer can fail */
#define KIND_ZINIT	0x800	/* the zone's initializer can fail */
#define KIND_MAXBUCKET	0x1000
#define KIND_SPREAD	0x2000	/* CACHESPREAD: items begin at every alignment in a page */
#define KIND_CONTIG	0x4000
#define KIND_VM		0x8000	/* as zones that the VM system itself uses */
#define KIND_UNMANAGED	0x10000
#define KIND_MALLOC	0x20000
#define KIND_STOCK	0x40000	/* slabs come from the kernel's own allocators */
#define KIND_MAXACTION	0x80000	/* a task is queued when the limit is reached */
#define KIND_WRITES	0x100000	/* its constructor and its initializer write to items */
#define KIND_SET_INIT	0x200000	/* the keg's initializer is set after the zone is made */
#define KIND_NODUMP	0x400000
#define KIND_NOTRIM	0x800000	/* of releases that have it */
#define KIND_ZEROED	0x2000000	/* UMA_ZONE_ZINIT: the keg's initializer fills with zeros */
#define KIND_SHARED_SMR	0x1000000	/* uma_zone_set_smr(): several zones share a context */

/* A zone to be made. */
struct zones_order {
	long	size;		/* of an item, in bytes */
	long	kind;		/* KIND_* */
	long	reserve;	/* items; below 1: none */
	long	limit;		/* uma_zone_set_max() before the first allocation; -1: none */
	long	maxcache;	/* uma_zone_set_maxcache() then; -1: none */
	long	primary;	/* of a secondary zone */
	long	align;		/* of items, in bytes; below 1: of a pointer */
	long	kva;		/* uma_zone_reserve_kva() for so many items; below 1: none */
};

/* A zone of the trace. */
struct zones_zone {
	uma_zone_t	 zone;		/* NULL: there is none */
	unsigned	 kind;
	unsigned	 in_use;	/* items that the trace holds */
	bool		 leaves;	/* it is being destroyed */
	unsigned	 busy;		/* operations of threads that are in the middle of it */
	long		 primary;	/* number of the zone that made the keg, or its own */
	bool		 limited;	/* since before the first allocation, and always since */
	bool		 lowered;	/* the limit has been lower, and may be exceeded */
	long		 maxcache;	/* -1: none since the first allocation */
	bool		 used;		/* something was allocated */
	uintptr_t	 align_mask;	/* of items; a cache zone's have none */
	unsigned long	 reserved;	/* address space of the keg, in bytes; 0: as it needs */
};

extern struct zones_zone zones[ZONES_MAX];

/* An operation.  Fields are those of its verb. */
struct zones_operation {
	char	verb;
	long	zone, slot, cpu, domain, number, fail;
	long	gap;		/* of another thread: where it runs; 0: at a callback */
	int	flags;
	bool	always;		/* what fails goes on failing */
	const struct zones_operation *meanwhile;	/* of another thread */
};

/* zones.c */
void	 zones_start(unsigned patience);
const char *zones_make(unsigned number, const struct zones_order *order);
void	 zones_end(bool closely);	/* all is freed, drained and destroyed */
void	 zones_leave(void);		/* all stays as it is */
void	 zones_destroy(unsigned number);

/* zones_operations.c */
void	 zones_run(const struct zones_operation *operation);
void	 zones_nested(const struct zones_operation *operation);

/* zones_items.c: allocating and freeing. */
void	 items_alloc(const struct zones_operation *operation);
void	 items_steady(const struct zones_operation *operation);
void	 items_read(const struct zones_operation *operation);
void	 items_free(unsigned slot);
void	 items_forget(void);
smr_t	 items_shared_smr(void);	/* of KIND_SHARED_SMR */
bool	 items_can_use(const struct zones_operation *operation);
bool	 items_can_alloc(const struct zones_operation *operation);
extern void *zones_item[ZONES_SLOTS];
extern uint8_t zones_item_zone[ZONES_SLOTS];

/* zones_moved.c: of the operation that runs alone. */
void	 moved_begin(void);
void	 moved_from(int cpu);
void	 moved_check(void);

/* zones_reclaim.c */
void	 reclaim_zone(const struct zones_operation *operation);
void	 reclaim_all(const struct zones_operation *operation);

/* zones_readers.c: readers of smr(9). */
void	 readers_enter(smr_t smr);
void	 readers_leave(int cpu);	/* below 0: all of them */
bool	 readers_are_inside(void);
void	 readers_drop(void);
void	 readers_note(smr_t smr);	/* the thread that runs has entered */
void	 readers_forget(int cpu);
void	 readers_freed(smr_t smr, const void *item);
void	 readers_check(const void *memory, size_t length, const char *what);

/* What an allocation is held to, by what was there before it. */
struct zones_before {
	uma_bucket_t	first[ZONES_DOMAINS];	/* of each domain's cached buckets */
	uint32_t	free_items[ZONES_DOMAINS];
	uint16_t	bucket_size;
	uint64_t	fails;
	long		others;		/* pages of all other zones */
	uma_bucket_t	had;		/* the CPU's bucket */
	bool		had_free;	/* items in its other one */
};

/* zones_allocation.c: what one allocation is held to. */
struct zones_before allocation_begin(const struct zones_operation *operation,
	    const struct zones_zone *each);
void	 allocation_check(const struct zones_operation *operation,
	    const struct zones_zone *each, const struct zones_before *was, const void *item);

/* zones_own.c: what UMA itself uses. */
void	 own_start(void);
void	 own_check(bool keeps_pages);	/* all is as it was at the start */
unsigned own_keg_pages(uma_keg_t keg);
long	 own_pages(uma_zone_t zone);	/* pages of all zones but those of this one's keg */

/* zones_memory.c and zones_callbacks.c: below the zones, and what they call. */
void	 memory_reset(unsigned patience);
void	 memory_begin(const struct zones_operation *operation);
void	 memory_end(void);	/* nothing more fails, or is run in the middle */
void	 memory_refuse(int domain, bool refuse);
void	 memory_exhaust_domain(int domain, bool exhaust);
void	 memory_bring_back(void);	/* no domain is exhausted or low */
bool	 memory_is_exhausted(int domain);
void	 memory_try_again(void);	/* patience begins anew */
bool	 memory_was_refused(void);	/* since memory_begin() */
bool	 memory_has_failed(void);	/* a constructor, an initializer or an import, since then */
bool	 memory_has_failed_above(void);	/* the same, but for the keg's initializer */
bool	 memory_was_interrupted(void);	/* another thread's operation was run since then */
void	 memory_gap(void);		/* the thread could be preempted, and holds no lock */
bool	 memory_interrupt(void);	/* runs it now; false: there is none that has not run yet */
long	 memory_slabs(void);		/* that zones of this trace have */
void	*memory_alloc(uma_zone_t zone, vm_size_t bytes, int domain, uint8_t *pflag, int wait);
void	 memory_free(void *memory, vm_size_t bytes, uint8_t pflag);
int	 memory_import(void *pool, void **store, int count, int domain, int flags);
void	 memory_release(void *pool, void **store, int count);
long	 memory_initialized(unsigned number);	/* items, by the zone's initializer */
long	 memory_keg_initialized(unsigned number);
long	 memory_constructed(unsigned number);
void	 memory_forget_counts(unsigned number);

/* What UMA is asked for just now, and what it then asks of others is held to. */
struct zones_request {
	int	flags;		/* of the allocation; 0: it is none */
	int	domain;
};
struct zones_request memory_request(struct zones_request now);	/* the one before */
const struct zones_request *memory_asked(void);
bool	 memory_fails(bool above_keg);	/* the call that is made now, of what can fail */
extern char zones_cookies[ZONES_MAX];	/* udata of constructors and destructors */

struct zones_callbacks {
	uma_init	zinit;
	uma_fini	zfini;
	uma_fini	trash;		/* of a secondary zone without zfini */
	uma_init	init;
	uma_fini	fini;
	uma_ctor	ctor;
	uma_dtor	dtor;
};
extern const struct zones_callbacks zones_callbacks[ZONES_MAX];

void	*pool_of(unsigned number, size_t size);
unsigned pool_given(unsigned number);
size_t	 pool_place(unsigned number, const void *item);
long	 pool_pages(void);		/* of all pools */
bool	 pool_has_given(unsigned number, const void *item);

/* zones_commands.c: an operation, at the start of a text; where it ends, or NULL. */
const char *zones_read_operation(const char *text, struct zones_operation *operation);
bool	 zones_has_zone(const struct zones_operation *operation);

/* zones_check.c: invariants. */
void	 check_at_rest(void);
void	 check_drained(void);

/* Says that an invariant is broken; those that are left out are not looked at. */
#define zones_broken(name, ...)							\
	(zones_left_out(name) ? (void)0 : zones_break(name, __VA_ARGS__))
bool	 zones_left_out(const char *name);
void	 zones_leave_out(const char *names);	/* with commas between them, to a blank */

/* Each guest's own. */
void	 zones_break(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool	 zones_are_broken(void);
void	 zones_forget_breakage(void);
const char *zones_breakage(void);	/* its text, for an answer; NULL: nothing is broken */
bool	 zones_timeout(void);		/* uma_timeout(); false: only the kernel can run it */
const char *zones_locked(void);		/* a lock that is held; NULL: none, or it cannot be told */
void	 zones_move(int cpu);		/* the thread goes to another CPU */
bool	 zones_are_bound(void);		/* it may not, but for the harness's own purposes */
bool	 zones_can_wait_for_readers(void);	/* who waits for readers has them leave */
void	 zones_contend(uma_zone_t zone, int domain);	/* another thread has the domain's lock */
int	 zones_cpu(void);
void	 zones_migrate(unsigned thread, int cpu);	/* the scheduler moves it */
void	 zones_pause(void);		/* other threads may run now */
bool	 zones_are_concurrent(void);	/* other threads run operations at the same time */
void	 zones_exhaust(int domain, bool exhausted);	/* the domain has no pages for anybody */
bool	 zones_run_tasks(void);		/* those that are queued; false: the kernel alone does */
bool	 zones_task_is_queued(const struct task *task);
long	 zones_pages_used(void);	/* where nobody else uses zones */
bool	 zones_are_alone(void);		/* nobody else uses zones of this kernel */
bool	 zones_only_uma_uses(uma_zone_t zone);	/* its items in use change by UMA's calls alone */
void	 zones_wait(int cpu, void (*function)(void *), void *argument, bool (*wake)(const char *));

#endif
