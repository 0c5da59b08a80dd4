/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Readers of smr(9), each inside of a section on a CPU of its own.  What is
 * freed while one is inside may not be used for anything else until it leaves.
 */

#include "zones.h"

#include <sys/domainset.h>
#include <sys/lock.h>
#include <sys/mutex.h>
#include <sys/pcpu.h>
#include <sys/proc.h>
#include <sys/smp.h>
#include <sys/smr.h>
#include <sys/vmmeter.h>

#define WATCHED_MAX	1024

static struct {
	smr_t		smr;		/* NULL: there is no reader */
	uint64_t	since;
} readers[MAXCPU];
static unsigned inside;

/* Items that were freed while readers were inside. */
static struct {
	const char	*item;
	smr_t		 smr;
	uint64_t	 freed;
} watched[WATCHED_MAX];
static unsigned watched_count;

static uint64_t now;		/* counts what begins: sections and frees */

static bool
is_in_use(unsigned place)
{
	for (unsigned cpu = 0; cpu <= mp_maxid; cpu++)
		if (readers[cpu].smr == watched[place].smr &&
		    readers[cpu].since < watched[place].freed)
			return (true);
	return (false);
}

void
readers_note(smr_t smr)
{
	readers[zones_cpu()].smr = smr;
	readers[zones_cpu()].since = ++now;
	inside++;
}

/* Before the section ends. */
void
readers_forget(int cpu)
{
	unsigned kept = 0;

	readers[cpu].smr = NULL;
	inside--;
	for (unsigned i = 0; i < watched_count; i++)
		if (is_in_use(i))
			watched[kept++] = watched[i];
	watched_count = kept;
}

/* Another thread, whose CPU runs nothing else until it leaves; this one is not in its section. */
void
readers_enter(smr_t smr)
{
	smr_enter(smr);
	critical_exit();
	readers_note(smr);
}

static void
leave(int cpu)
{
	smr_t smr = readers[cpu].smr;
	int back = zones_cpu();

	readers_forget(cpu);
	zones_move(cpu);
	critical_enter();
	smr_exit(smr);
	zones_move(back);
}

void
readers_leave(int cpu)
{
	for (int each = 0; inside > 0 && each <= (int)mp_maxid; each++)
		if ((cpu < 0 || each == cpu) && readers[each].smr != NULL)
			leave(each);
}

bool
readers_are_inside(void)
{
	return (inside > 0);
}

/* Of a program that was left as it was: their sections do not end. */
void
readers_drop(void)
{
	memset(readers, 0, sizeof(readers));
	inside = watched_count = 0;
}

/* An item is about to be freed, which no reader can find any more. */
void
readers_freed(smr_t smr, const void *item)
{
	if (inside == 0 || watched_count == WATCHED_MAX)
		return;
	watched[watched_count].item = item;
	watched[watched_count].smr = smr;
	watched[watched_count].freed = ++now;
	watched_count += is_in_use(watched_count);
}

/* Memory is about to become something else. */
void
readers_check(const void *memory, size_t length, const char *what)
{
	const char *from = memory;

	for (unsigned i = 0; i < watched_count; i++)
		if (watched[i].item >= from && watched[i].item < from + length && is_in_use(i))
			zones_broken("smr-reused", "an item of smr(9) is %s, and a reader is inside "
			    "that came before it was freed", what);
}
