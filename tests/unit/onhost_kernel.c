/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* A kernel half that does what a line says: for tests of the other half, and of what runs both. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostside.h"
#include "stackswitch.h"

extern void missing_function(void);
extern int missing_number;

static volatile unsigned long turns;
static char *arena;

void
kern_start(int cpus, const int *domain_of_cpu, int domains, unsigned empty)
{
	(void)cpus, (void)domain_of_cpu, (void)domains, (void)empty;
	arena = host_arena(1UL << 32);
}

/* Tells by which addresses accesses are no races. */
void
kern_quiet(unsigned long place)
{
	char text[32];

	host_send(text, (unsigned long)snprintf(text, sizeof(text), "quiet %lx\n", place));
}

/* A line is a word, or a command of the check module's form with that name. */
static int
is(const char *text, unsigned long length, const char *word)
{
	size_t size = strlen(word);

	if (strncmp(text, "@harness ", 9) == 0)
		return (strncmp(text + 14, word, size) == 0 && text[14 + size] == ' ');
	return (length == strlen(word) + 1 && memcmp(text, word, length - 1) == 0);
}

__attribute__((noinline)) static void
panics(void)
{
	host_end("panic", "slab 17 at 0xfeed is lost");
}

#define COROUTINE_STACK	65536

static void *here, *there;
static char turns_taken[16];
static int panics_there;

static void
coroutine(void)
{
	for (char turn = 'a';; turn++) {
		turns_taken[strlen(turns_taken)] = turn;
		if (panics_there)
			panics();
		stack_switch(&there, here);
	}
}

/* Two stacks in turn: capitals are taken on this one. */
static void
take_turns(void)
{
	char text[32];

	there = stack_made(host_arena(COROUTINE_STACK), COROUTINE_STACK, coroutine);
	for (char turn = 'A'; turn < 'D'; turn++) {
		turns_taken[strlen(turns_taken)] = turn;
		stack_switch(&here, there);
	}
	host_send(text, (unsigned long)snprintf(text, sizeof(text), "%s\n", turns_taken));
}

static void
count(void)
{
	static int counted;
	char text[16];

	host_send(text, (unsigned long)snprintf(text, sizeof(text), "%d\n", ++counted));
}

void
kern_take(const char *text, unsigned long length)
{
	if (is(text, length, "panic"))
		panics();
	else if (is(text, length, "call"))
		missing_function(), turns++;
	else if (is(text, length, "read"))
		turns = (unsigned long)missing_number;
	else if (is(text, length, "spin"))
		for (;;)
			turns++;
	else if (is(text, length, "overwrite"))
		*(volatile char *)16 = 1;
	else if (is(text, length, "divide"))
		turns = (unsigned long)(100 / (int)turns);
	else if (is(text, length, "stack"))
		kern_take(text, length), turns++;
	else if (is(text, length, "memory"))
		for (unsigned long at = 0; at < 1UL << 32; at += 4096)
			arena[at] = 1;
	else if (is(text, length, "count"))
		count();
	else if (is(text, length, "turns"))
		take_turns();
	else if (is(text, length, "panic-there"))
		panics_there = 1, take_turns();
	else if (is(text, length, "note"))
		host_note("!note that", 10), panics();
	else if (is(text, length, "kill"))
		raise(SIGKILL);
	else if (is(text, length, "leave"))
		exit(0);
	else if (is(text, length, "babble"))
		for (;;)
			host_send("babble without an end of any line ", 34);
	else if (is(text, length, "lie"))
		host_send("!end wonder frames= of no kind\n", 31);
	else
		host_send(text, length);
}
