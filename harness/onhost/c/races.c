/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Races by happens-before order, with vector clocks (Flanagan and Freund,
 * FastTrack: Efficient and Precise Dynamic Race Detection, 2009): two accesses of
 * a byte by two threads, at least one of them a store and one not atomic, which
 * no lock, atomic, sleep or CPU orders, whoever went first by the schedule.  One
 * thread runs at a time, so that nothing here needs a lock.
 *
 * What is of one CPU is ordered by critical sections there alone: in others the
 * thread may lose the CPU in between.
 */

#include "threads.h"

#include "access.h"
#include "races.h"

#ifdef RACES

#define BYTES		8		/* of an entry */
#define ENTRIES		(1U << 16)	/* powers of two */
#define OBJECTS		(1U << 12)
#define QUIET_MAX	1024

enum kind { LOADED, STORED, ATOMIC_LOADED, ATOMIC_STORED, KINDS };

/* Whether a kind races with another one. */
static const bool conflicts[KINDS][KINDS] = {
	[LOADED] = { [STORED] = true, [ATOMIC_STORED] = true },
	[STORED] = { true, true, true, true },
	[ATOMIC_LOADED] = { [STORED] = true },
	[ATOMIC_STORED] = { [LOADED] = true, [STORED] = true },
};

typedef uint32_t clock_of_thread;

struct clocks {
	clock_of_thread	 of[1 + THREADS_MAX];
};

/* The last accesses of each kind to some bytes, by each thread. */
struct entry {
	uintptr_t	 first;
	unsigned	 run;
	struct last {
		clock_of_thread	 time;		/* 0: none */
		uint32_t	 place;		/* programs are linked to low addresses */
		uint8_t		 bytes;
	}		 last[THREADS_MAX][KINDS];
};

struct object {
	const void	*object;
	unsigned	 run;
	struct clocks	 clocks;
};

static struct entry entries[ENTRIES];
static struct object objects[OBJECTS];
static struct clocks now[1 + THREADS_MAX];
static unsigned run;			/* so that tables need not be cleared */
static unsigned entries_used, objects_used;
static bool looks;

static uint32_t quiet[QUIET_MAX];	/* places whose accesses are not ordered on purpose */
static unsigned quiet_count;

static bool
is_quiet(uint32_t place)
{
	for (unsigned i = 0; i < quiet_count; i++)
		if (quiet[i] == place)
			return (true);
	return (false);
}

void
kern_quiet(unsigned long place)
{
	if (quiet_count < QUIET_MAX && !is_quiet((uint32_t)place))
		quiet[quiet_count++] = (uint32_t)place;
}

void
races_begin(unsigned threads)
{
	run++;
	entries_used = objects_used = 0;
	looks = true;
	memset(now, 0, sizeof(now));
	for (unsigned thread = 1; thread <= threads; thread++)
		now[thread].of[thread] = 1;
}

static unsigned
thread_of_race(void)
{
	return (looks && threads_count > 0 ? thread_now()->number : 0);
}

/* --- order ---------------------------------------------------------------- */

static void
join(struct clocks *into, const struct clocks *from)
{
	for (unsigned thread = 1; thread <= THREADS_MAX; thread++)
		if (into->of[thread] < from->of[thread])
			into->of[thread] = from->of[thread];
}

/* NULL: there is no room; without an order, there would be races everywhere. */
static struct clocks *
clocks_of(const void *object)
{
	unsigned place = (unsigned)((uintptr_t)object / sizeof(int)) % OBJECTS;

	while (objects[place].run == run && objects[place].object != object)
		place = (place + 1) % OBJECTS;
	if (objects[place].run != run) {
		if (++objects_used > OBJECTS / 2) {
			looks = false;
			return (NULL);
		}
		objects[place] = (struct object){ .object = object, .run = run };
	}
	return (&objects[place].clocks);
}

void
races_acquire(const void *object)
{
	unsigned thread = thread_of_race();
	struct clocks *clocks;

	if (thread != 0 && (clocks = clocks_of(object)) != NULL)
		join(&now[thread], clocks);
}

void
races_release(const void *object)
{
	unsigned thread = thread_of_race();
	struct clocks *clocks;

	if (thread == 0 || (clocks = clocks_of(object)) == NULL)
		return;
	join(clocks, &now[thread]);
	now[thread].of[thread]++;
}

/* --- accesses ------------------------------------------------------------- */

static struct entry *
entry_of(uintptr_t first)
{
	unsigned place = (unsigned)(first / BYTES) % ENTRIES;

	while (entries[place].run == run && entries[place].first != first)
		place = (place + 1) % ENTRIES;
	if (entries[place].run != run) {
		if (++entries_used > ENTRIES / 2) {
			looks = false;
			return (NULL);
		}
		memset(&entries[place], 0, sizeof(entries[place]));
		entries[place].first = first;
		entries[place].run = run;
	}
	return (&entries[place]);
}

static const char *const verbs[KINDS] = { "read", "write", "atomic-read", "atomic-write" };

static void
compare(const struct entry *entry, unsigned thread, enum kind kind, uint8_t bytes, uint32_t place)
{
	for (unsigned other = 1; other <= THREADS_MAX; other++)
		for (enum kind was = LOADED; other != thread && was < KINDS; was++) {
			const struct last *last = &entry->last[other - 1][was];

			if (last->time > now[thread].of[other] && conflicts[kind][was] &&
			    (last->bytes & bytes) != 0 && !is_quiet(last->place))
				kern_end("kcsan", "%s=%lx %s=%lx", verbs[was],
				    (unsigned long)last->place, verbs[kind], (unsigned long)place);
		}
}

static void
note(struct last *last, clock_of_thread time, uint8_t bytes, uint32_t place)
{
	last->bytes = last->time == time ? last->bytes | bytes : bytes;
	last->time = time;
	last->place = place;
}

static void
see(const struct access *access, enum kind kind)
{
	unsigned thread = thread_of_race();
	uintptr_t begin = (uintptr_t)access->object, end = begin + access->size;
	uint32_t place = (uint32_t)(uintptr_t)access->place;

	if (thread == 0 || is_quiet(place))
		return;
	for (uintptr_t first = begin / BYTES * BYTES; first < end; first += BYTES) {
		struct entry *entry = entry_of(first);
		unsigned bytes = 0xff;

		if (entry == NULL)
			return;
		if (first < begin)
			bytes &= 0xffU << (begin - first);
		if (first + BYTES > end)
			bytes &= 0xffU >> (first + BYTES - end);
		compare(entry, thread, kind, (uint8_t)bytes, place);
		note(&entry->last[thread - 1][kind], now[thread].of[thread], (uint8_t)bytes,
		    place);
	}
}

void
races_access(const struct access *access)
{
	see(access, access->writes ? STORED : LOADED);
}

void
races_atomic(const struct access *access, int order)
{
	if ((order & ORDER_ACQUIRE) != 0)
		races_acquire(access->object);
	see(access, access->writes ? ATOMIC_STORED : ATOMIC_LOADED);
	if ((order & ORDER_RELEASE) != 0)
		races_release(access->object);
}

#else

void
kern_quiet(unsigned long place)
{
	(void)place;
}

#endif
