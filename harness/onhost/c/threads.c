/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Threads by a schedule.  At each switch point those that can run are known:
 * not blocked, and not on a CPU whose thread is in a critical section.  The
 * schedule names who goes on at some of the points; at all others the thread
 * itself does, or if it cannot, the next one by number.
 */

#include "threads.h"

#include "races.h"
#include "stackswitch.h"

#define STACK_SIZE	(256UL << 10)

/* A thread that gets nowhere gives way; one that goes on for ever is ended. */
#define STEPS_PATIENT	5000UL
#define STEPS_MAX	200000UL
#define ACCESSES_STEP	20	/* loads and stores are so much more often switch points */

struct kern_thread kern_threads[1 + THREADS_MAX];
unsigned threads_count;
bool threads_see_accesses;

static const struct threads_schedule *schedule;
static void (*thread_body)(unsigned);
static unsigned long points;
static const char *next_switch;		/* that is still to come */
static uint64_t random_state;
static unsigned priorities[1 + THREADS_MAX];
static unsigned lowest;			/* of the priorities that were given */

/* --- variables of which each thread has its own ---------------------------- */

extern char __start_set_harness_thread[] __attribute__((weak));
extern char __stop_set_harness_thread[] __attribute__((weak));

static size_t
variables_size(void)
{
	return ((size_t)(__stop_set_harness_thread - __start_set_harness_thread));
}

static void
enter(struct kern_thread *next)
{
	struct kern_thread *last = thread_now();

	if (next == last)
		return;
	memcpy(last->variables, __start_set_harness_thread, variables_size());
	memcpy(__start_set_harness_thread, next->variables, variables_size());
	cpus_enter(&next->td, next->cpu);
	stack_switch(&last->stack_pointer, next->stack_pointer);
}

/* --- who can run ---------------------------------------------------------- */

static bool
cpu_is_free(const struct kern_thread *thread)
{
	for (unsigned i = 1; i <= threads_count; i++) {
		const struct kern_thread *other = &kern_threads[i];

		if (other != thread && !other->ended && other->cpu == thread->cpu &&
		    other->td.td_critnest > 0)
			return (false);
	}
	return (true);
}

static unsigned
bit_of(const struct kern_thread *thread)
{
	return (1U << (thread->number - 1));
}

static unsigned
able(void)
{
	unsigned mask = 0;

	for (unsigned i = 1; i <= threads_count; i++) {
		const struct kern_thread *thread = &kern_threads[i];

		if (!thread->ended && (thread->ready == NULL || thread->ready(thread)) &&
		    cpu_is_free(thread))
			mask |= bit_of(thread);
	}
	return (mask);
}

static void
deadlock(void)
{
	char text[256];
	int length = 0;

	for (unsigned i = 1; i <= threads_count; i++) {
		const struct kern_thread *thread = &kern_threads[i];

		if (thread->ended)
			continue;
		length += snprintf(text + length, sizeof(text) - (size_t)length,
		    "%sthread %u waits for %s and holds %s", length > 0 ? ", " : "", i,
		    thread->wanted != NULL ? lock_name(thread->wanted) : "its CPU",
		    thread->held_count > 0 ?
		    lock_name(thread->held[thread->held_count - 1]) : "no lock");
		if (length > 200)
			break;
	}
	kern_end(END_DEADLOCK, "%s", text);
}

/* Nobody can run: the first that sleeps is woken by the harness; else this is a deadlock. */
static unsigned
idle(void)
{
	for (unsigned i = 1; i <= threads_count; i++)
		if (!kern_threads[i].ended && kern_threads[i].slept_on != NULL) {
			unsigned mask;

			kern_threads[i].idle = true;
			if ((mask = able()) != 0)
				return (mask);
		}
	deadlock();
	return (0);
}

static bool
all_ended(void)
{
	for (unsigned i = 1; i <= threads_count; i++)
		if (!kern_threads[i].ended)
			return (false);
	return (true);
}

/* --- the schedule --------------------------------------------------------- */

static unsigned long
number_at(const char **at)
{
	unsigned long number = 0;

	for (; **at >= '0' && **at <= '9'; ++*at)
		number = number * 10 + (unsigned long)(**at - '0');
	return (number);
}

/* Who goes on if the schedule says nothing: the last one, or the next by number. */
static unsigned
usual(unsigned last, unsigned mask)
{
	for (unsigned step = 0; step < threads_count; step++) {
		unsigned number = last == 0 ? 1 + step : 1 + (last - 1 + step) % threads_count;

		if ((mask >> (number - 1) & 1) != 0)
			return (number);
	}
	return (0);
}

/* A switch that is no longer possible, as in changed code, is left out. */
static unsigned
told(unsigned otherwise, unsigned mask)
{
	unsigned chosen = otherwise;

	while (next_switch != NULL && *next_switch >= '0' && *next_switch <= '9') {
		const char *at = next_switch;
		unsigned long point = number_at(&at);
		unsigned thread = *at == '>' ? (at++, (unsigned)number_at(&at)) : 0;

		if (point > points)
			break;
		if (point == points && thread > 0 && thread <= threads_count &&
		    (mask >> (thread - 1) & 1) != 0)
			chosen = thread;
		next_switch = *at == ',' ? at + 1 : at;
	}
	return (chosen);
}

static uint64_t
random_number(void)		/* xorshift64* */
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 0x2545f4914f6cdd1dULL);
}

/* Each thread has a priority; at random points that of the one that runs becomes the lowest. */
static unsigned
by_priority(unsigned last, unsigned mask)
{
	unsigned chosen = 0;

	if (schedule->length > 0 && last > 0 &&
	    random_number() % schedule->length < schedule->changes)
		priorities[last] = --lowest;
	for (unsigned i = 1; i <= threads_count; i++)
		if ((mask >> (i - 1) & 1) != 0 &&
		    (chosen == 0 || priorities[i] > priorities[chosen]))
			chosen = i;
	return (chosen);
}

static void
tell_point(unsigned last, unsigned mask, int cpu, char kind, const void *object)
{
	char text[48];

	if (schedule->logs && points >= schedule->log_from)
		host_note(text, (unsigned long)snprintf(text, sizeof(text), " %x%x%02x%c%lx", last,
		    mask, cpu & 0xff, kind, (unsigned long)object));
}

static void
tell_switch(unsigned chosen)
{
	char text[48];

	if (schedule->switches == NULL)
		host_note(text,
		    (unsigned long)snprintf(text, sizeof(text), " %lu>%u", points, chosen));
}

static void
go_on(unsigned mask, unsigned last, char kind, const void *object)
{
	unsigned otherwise = usual(last, mask), chosen;

	tell_point(last, mask, last > 0 ? kern_threads[last].cpu : 0, kind, object);
	chosen = schedule->switches != NULL ? told(otherwise, mask) : by_priority(last, mask);
	if (chosen != otherwise)
		tell_switch(chosen);
	points++;
	enter(&kern_threads[chosen]);
}

void
threads_switch(char kind, const void *object)
{
	struct kern_thread *thread = thread_now();
	unsigned long factor = schedule->accesses ? ACCESSES_STEP : 1;
	unsigned mask = able();

	if (thread->number == 0)
		return;
	if (++thread->steps > STEPS_MAX * factor)
		kern_end(END_STARVATION, "thread %u runs past its limit of steps", thread->number);
	if (thread->steps % (STEPS_PATIENT * factor) == 0 && (mask & ~bit_of(thread)) != 0)
		mask &= ~bit_of(thread);
	if (mask == 0)
		mask = idle();
	go_on(mask, thread->number, kind, object);
}

void
threads_block(bool (*ready)(const struct kern_thread *))
{
	struct kern_thread *thread = thread_now();

	thread->ready = ready;
	threads_switch(POINT_BLOCKED,
	    thread->wanted != NULL ? (const void *)thread->wanted : thread->slept_on);
	thread->ready = NULL;
}

bool
threads_is_owner(uintptr_t word)
{
	for (unsigned i = 0; i <= threads_count; i++)
		if ((word & ~(uintptr_t)(CACHE_LINE_SIZE - 1)) ==
		    ((uintptr_t)&kern_threads[i].td & ~(uintptr_t)(CACHE_LINE_SIZE - 1)))
			return (&kern_threads[i] != thread_now() && !kern_threads[i].ended);
	return (false);
}

/* The end of a critical section, at which a thread that should run takes the CPU. */
void
critical_exit_preempt(void)
{
	if (curthread->td_critnest == 0)
		threads_point(POINT_PREEMPT, NULL);
	cpus_gap();
}

/* --- running -------------------------------------------------------------- */

static void
begin(void)
{
	struct kern_thread *thread = thread_now();
	unsigned mask;

	thread_body(thread->number);
	thread->ended = true;
	if (all_ended())
		enter(&kern_threads[0]);
	if ((mask = able()) == 0)
		mask = idle();
	go_on(mask, thread->number, POINT_ENDED, NULL);
}

static void
prepare(unsigned number)
{
	struct kern_thread *thread = &kern_threads[number];
	char *stack = thread->stack, *variables = thread->variables;

	if (stack == NULL) {
		/* Not mapped below: host_arena() leaves a gap. */
		stack = host_arena(STACK_SIZE);
		variables = host_memory(variables_size() + 1, 16);
	}
	memset(thread, 0, sizeof(*thread));
	thread_init_own(thread, number);
	thread->stack = stack;
	thread->variables = variables;
	memset(variables, 0, variables_size());
	thread->stack_pointer = stack_made(stack, STACK_SIZE, begin);
	thread->cpu = thread_now()->cpu;
	thread->td.td_owepreempt = 1;	/* so that ends of critical sections are seen */
	priorities[number] = 0;
}

static void
give_priorities(void)
{
	random_state = schedule->seed * 2 + 1;
	lowest = 1U << 30;
	for (unsigned i = 0; i < 8; i++)
		random_number();
	for (unsigned i = 1; i <= threads_count; i++)
		priorities[i] = lowest + 1 + (unsigned)(random_number() % 1000000) * THREADS_MAX + i;
}

unsigned long
threads_run(unsigned count, void (*body)(unsigned), const struct threads_schedule *how)
{
	bool tells = how->logs || how->switches == NULL;

	if (kern_threads[0].variables == NULL)
		kern_threads[0].variables = host_memory(variables_size() + 1, 16);
	schedule = how;
	thread_body = body;
	points = 0;
	next_switch = how->switches;
	for (unsigned number = 1; number <= count; number++)
		prepare(number);
	threads_count = count;
	threads_see_accesses = how->accesses;
	races_begin(count);
	give_priorities();
	if (tells)
		host_note("!points", 7);
	go_on((1U << count) - 1, 0, POINT_OPERATION, NULL);
	threads_count = 0;
	threads_see_accesses = false;
	if (tells)
		host_note("\n", 1);
	return (points);
}
