/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The half of the program that is compiled with the host's headers: memory, the
 * base register of per-CPU data, the channel to the harness, and the program's end.
 */
#define _GNU_SOURCE

#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crc32.h"
#include "hostmachine.h"
#include "hostside.h"

#define CPUS_MAX	256
#define CHUNK		(1 << 16)
#define FRAMES		24
#define STACK_SIZE	(8UL << 20)
#define ARENAS		0x100000000000	/* far from all mappings of the host */
#define ARENA_STEP	(2UL << 20)
#define MARK		"@harness "

/* Exit statuses: after an "!end" line, and of a copy that "!join" has ended. */
#define TOLD		3
#define JOINED		4

static int from_harness, to_harness;
static char out[CHUNK];
static size_t out_length;
static bool in_line;		/* the last output has not ended its line */

/* Answers that are summed up instead of sent; see take_line(). */
static bool digesting;
static uint32_t digest;
static unsigned long answers;

static bool copied;	/* the input buffer belonged to a copy, which has ended */
static bool skipping;	/* so does all further input, up to "!sync" */

/* The number of commands, and the seconds of CPU time that each may take. */
static volatile unsigned long commands;
static volatile unsigned patience;

/* --- memory --------------------------------------------------------------- */

static void
no_memory(void)
{
	host_end("exhausted", "the host has no memory left");
}

void *
host_memory(unsigned long size, unsigned long alignment)
{
	void *memory;

	if (posix_memalign(&memory, alignment < 16 ? 16 : alignment, size > 0 ? size : 1) != 0)
		no_memory();
	return (memset(memory, 0, size));
}

void
host_release(void *memory)
{
	free(memory);
}

void
host_reserve(void *place, unsigned long size)
{
	if (mmap(place, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
	    MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) != place)
		no_memory();
}

/* Uses the same addresses in each run: answers contain some, others are hashed. */
void *
host_arena(unsigned long size)
{
	static char *next = (char *)ARENAS;
	void *memory = next;

	host_reserve(memory, size);
	next += (size + ARENA_STEP - 1) / ARENA_STEP * ARENA_STEP;
	return (memory);
}

void
host_set_cpu(void *base)
{
	set_cpu_base(base);
}

/* --- coverage ------------------------------------------------------------- */

/*
 * What clang's -fprofile-instr-generate has in a program that is compiled with
 * it; nothing in others.  llvm-cov reads the last two sections in the program's
 * file: they are named here so that the linker keeps them.
 */
extern char __start___llvm_prf_cnts[] __attribute__((weak));
extern char __stop___llvm_prf_cnts[] __attribute__((weak));
extern char __start___llvm_prf_data[] __attribute__((weak));
extern char __start___llvm_prf_names[] __attribute__((weak));
extern intptr_t __llvm_profile_counter_bias __attribute__((weak));

const char *const profile_sections[] = { __start___llvm_prf_data, __start___llvm_prf_names };

/*
 * Counters become those of a file in the working directory, which all copies of
 * the program share, and which stays however they end.
 */
static void
share_counters(void)
{
	size_t size = (size_t)(__stop___llvm_prf_cnts - __start___llvm_prf_cnts);
	char *counters;
	int file;

	if (profile_sections[0] == NULL || size == 0)
		return;
	file = open("counters", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file < 0 || ftruncate(file, (off_t)size) != 0)
		host_end("exhausted", "the host gives no file for counters");
	counters = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (counters == MAP_FAILED)
		no_memory();
	close(file);
	__llvm_profile_counter_bias = counters - __start___llvm_prf_cnts;
}

/* --- the harness ---------------------------------------------------------- */

static void
flush(void)
{
	size_t done = 0;

	while (done < out_length) {
		ssize_t some = write(to_harness, out + done, out_length - done);

		if (some < 0 && errno == EINTR)
			continue;
		if (some <= 0)
			_exit(0);	/* the harness is gone */
		done += (size_t)some;
	}
	out_length = 0;
}

static void
send(const char *text, size_t length)
{
	if (length > sizeof(out) - out_length)
		flush();
	memcpy(out + out_length, text, length);
	out_length += length;
	if (length > 0)
		in_line = text[length - 1] != '\n';
}

void
host_note(const char *text, unsigned long length)
{
	send(text, length);
}

/* Send an answer.  It ends with its own checksum, so a digest needs only that. */
void
host_send(const char *text, unsigned long length)
{
	size_t tail = length < 9 ? length : 9;

	answers++;
	if (digesting)
		digest = probe_crc32_on(digest, text + length - tail, tail);
	else if (length <= sizeof(out))
		send(text, length);
}

void
host_log(const char *text)
{
	fputs(text, stderr);
}

int
host_format(char *buffer, unsigned long size, const char *format, void *arguments)
{
	va_list copy;

	memcpy(copy, arguments, sizeof(copy));
	return (vsnprintf(buffer, size, format, copy));
}

/* --- the end -------------------------------------------------------------- */

/* Write the place and the return addresses, which frame pointers lead to. */
static void
tell_frames(uintptr_t place, const uintptr_t *frame, char *text, size_t size)
{
	size_t length = 0;

	for (int count = 0; count < FRAMES && length + 20 < size; count++) {
		const uintptr_t *next;

		length += (size_t)snprintf(text + length, size - length, "%s%lx",
		    count > 0 ? "," : "", (unsigned long)place);
		if (frame == NULL || (uintptr_t)frame % sizeof(*frame) != 0)
			break;
		place = frame[1];
		next = (const uintptr_t *)frame[0];
		if (place == 0 || next <= frame || (uintptr_t)next - (uintptr_t)frame > STACK_SIZE)
			next = NULL;
		frame = next;
	}
}

static void
end(const char *kind, const char *text, uintptr_t place, const uintptr_t *frame)
{
	char line[1024], frames[20 * FRAMES];
	int length;

	tell_frames(place, frame, frames, sizeof(frames));
	length = snprintf(line, sizeof(line), "!end %s frames=%s %.400s", kind, frames, text);
	for (int i = 0; i < length; i++)
		if (line[i] == '\n')
			line[i] = ' ';
	if (in_line)
		send("\n", 1);
	send(line, (size_t)length);
	send("\n", 1);
	flush();
	_exit(TOLD);
}

void
host_end(const char *kind, const char *text)
{
	end(kind, text, (uintptr_t)__builtin_return_address(0),
	    *(const uintptr_t *const *)__builtin_frame_address(0));
	__builtin_unreachable();
}

static const char *
trapped(const void *place)
{
	for (const struct trap *trap = traps; trap->name != NULL; trap++)
		if ((const char *)place >= (const char *)trap->place &&
		    (const char *)place < (const char *)trap->place + TRAP_SIZE)
			return (trap->name);
	return (NULL);
}

static void
on_signal(int number, siginfo_t *info, void *context)
{
	uintptr_t place = place_of(context);
	const char *name = number == SIGSEGV ? trapped(info->si_addr) : NULL;
	char text[32];

	/* If a trap was called, the return address is on the stack. */
	if (name != NULL && place == (uintptr_t)info->si_addr)
		place = caller_of(context);
	snprintf(text, sizeof(text), "SIG%s", sigabbrev_np(number));
	/* If the frame pointers are invalid, a second signal ends the walk. */
	signal(SIGSEGV, SIG_DFL);
	end(name != NULL ? "trap" : "signal", name != NULL ? name : text, place,
	    frame_of(context));
}

/* Called after each second of CPU time: end a command that takes too many. */
static void
on_tick(int number, siginfo_t *info, void *context)
{
	static unsigned long last;
	static unsigned seconds;

	(void)number, (void)info;
	if (commands != last) {
		last = commands;
		seconds = 0;
	} else if (++seconds >= patience)
		end("loop", "an operation exceeded its CPU time",
		    place_of(context), frame_of(context));
}

static void
watch_time(void)
{
	struct itimerval second = { { 1, 0 }, { 1, 0 } };

	setitimer(ITIMER_PROF, &second, NULL);
}

static void
watch_signals(void)
{
	static char stack[1 << 16];
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP };
	stack_t alternative = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_sigaction = on_signal,
	    .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigaltstack(&alternative, NULL);
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		sigaction(fatal[i], &action, NULL);
	action.sa_sigaction = on_tick;
	sigaction(SIGPROF, &action, NULL);
	watch_time();
}

static void
arm_traps(void)
{
	for (const struct trap *trap = traps; trap->name != NULL; trap++)
		mprotect((void *)trap->place, TRAP_SIZE, PROT_NONE);
}

/* --- the harness's lines -------------------------------------------------- */

/* Copy the program; return 0 in the copy, else its process ID. */
static pid_t
copy(void)
{
	pid_t child;

	flush();
	child = fork();
	if (child < 0)
		host_end("exhausted", "the host cannot start a process");
	if (child == 0)
		watch_time();	/* timers are not inherited */
	return (child);
}

/* Wait for a copy; return whether it did all its commands. */
static bool
copy_joined(pid_t child)
{
	char text[64];
	int status, size = 0;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	if (WIFEXITED(status) && WEXITSTATUS(status) == JOINED)
		return (true);
	if (WIFSIGNALED(status))
		size = snprintf(text, sizeof(text), "!end signal frames= SIG%s\n",
		    sigabbrev_np(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != TOLD)
		size = snprintf(text, sizeof(text), "!end exited frames= \n");
	send(text, (size_t)size);
	return (false);
}

/*
 * Let a copy of the program run the following commands, so that this process is
 * unchanged.  If the copy does not end by "!join", its remaining input is skipped.
 */
static void
fork_off(void)
{
	pid_t child = copy();

	if (child == 0)
		return;
	copied = true;
	if (copy_joined(child))
		send("!joined\n", 8);
	else
		skipping = true;
}

/* Run commands, with tabs between them, in a copy. */
static void
try(char *text, size_t length)
{
	pid_t child = copy();

	if (child == 0) {
		commands++;
		for (char *at = text; (at = memchr(at, '\t', length - (size_t)(at - text))) != NULL;) {
			*at++ = '\n';
			kern_take(text, (size_t)(at - text));
			length -= (size_t)(at - text);
			text = at;
		}
		kern_take(text, length);
		flush();
		_exit(JOINED);
	}
	copy_joined(child);
	send("!tried\n", 7);
}

/*
 * Lines of input: commands of the check module's protocol, and
 *
 *	!digest		from now on, count and sum up answers instead of sending them
 *	!plain		from now on, send answers
 *	!tell		send "!sum COUNT CRC" for the answers since the last one
 *	!fork		run the lines up to "!join" in a copy of the program, and send
 *			"!joined"; the harness sends nothing more before that
 *	!try COMMANDS	run the commands, with tabs between them, in a copy of the program, then
 *			send "!tried"
 *	!quiet PLACE	accesses at this address of code, in hexadecimal, are no races
 *	!sync		send "!synced", and end the skipping of input after a failed copy
 */
static void
take_line(char *line, size_t length)
{
	char text[64];

	if (strncmp(line, "!sync", 5) == 0) {
		skipping = false;
		send("!synced\n", 8);
	} else if (skipping)
		return;
	else if (line[0] != '!') {
		commands++;
		kern_take(line, length);
	} else if (strncmp(line, "!digest", 7) == 0)
		digesting = true;
	else if (strncmp(line, "!plain", 6) == 0)
		digesting = false;
	else if (strncmp(line, "!quiet ", 7) == 0)
		kern_quiet(strtoul(line + 7, NULL, 16));
	else if (strncmp(line, "!fork", 5) == 0)
		fork_off();
	else if (strncmp(line, "!try ", 5) == 0)
		try(line + 5, length - 5);
	else if (strncmp(line, "!join", 5) == 0) {
		flush();
		_exit(JOINED);
	} else if (strncmp(line, "!tell", 5) == 0) {
		int size = snprintf(text, sizeof(text), "!sum %lu %08x\n", answers, digest);

		send(text, (size_t)size);
		answers = 0;
		digest = 0;
	}
}

static void
serve(void)
{
	static char in[CHUNK];
	size_t length = 0;

	for (;;) {
		ssize_t some;
		char *start = in, *newline;

		flush();
		some = read(from_harness, in + length, sizeof(in) - length);
		if (some < 0 && errno == EINTR)
			continue;
		if (some <= 0)
			return;
		length += (size_t)some;
		while ((newline = memchr(start, '\n', length - (size_t)(start - in))) != NULL) {
			take_line(start, (size_t)(newline + 1 - start));
			start = copied ? in + length : newline + 1;
			copied = false;
		}
		length -= (size_t)(start - in);
		memmove(in, start, length);
		if (length == sizeof(in))
			host_end("signal", "a line is too long");
	}
}

/*
 * Arguments: the descriptors of commands and answers, the domain of each CPU, the number of
 * domains, a mask of those without memory, and seconds of CPU time that a command may take.
 */
int
main(int count, char **word)
{
	int domain_of_cpu[CPUS_MAX], cpus = 0;

	if (count != 7)
		return (2);
	from_harness = atoi(word[1]);
	to_harness = atoi(word[2]);
	for (char *at = strtok(word[3], ","); at != NULL && cpus < CPUS_MAX;
	    at = strtok(NULL, ","))
		domain_of_cpu[cpus++] = atoi(at);
	patience = (unsigned)atoi(word[6]);
	arm_traps();
	watch_signals();
	share_counters();
	kern_start(cpus, domain_of_cpu, atoi(word[4]), (unsigned)atoi(word[5]));
	serve();
	return (0);
}
