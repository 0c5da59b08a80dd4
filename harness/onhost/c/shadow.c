/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * KASAN's shadow of all memory: a byte for each eight, which the tree's own
 * kasan_mark() calls set.  The compiler (-fsanitize=kernel-address) calls a
 * function below before each load and store of the tree's files and of the check
 * module.  Without the tree's headers, which name some functions otherwise.
 */

#include "hostside.h"
#include "shadow.h"

#ifdef KASAN

typedef unsigned char code;
typedef unsigned long word;

#define SCALE		8
#define SHADOW		((code *)SHADOW_PLACE)	/* harness/onhost/instrumentation.py */
#define SHADOW_SIZE	(1UL << 44)		/* of all addresses that a program can have */

/* What the kernel writes (sys/asan.h), the compiler, and, last, pages that UMA has freed. */
static const struct {
	code		 code;
	const char	*name;
} reasons[] = {
	{ 0xfa, "a redzone behind an item" }, { 0xfd, "a free item" },
	{ 0xf1, "a redzone of the stack" }, { 0xf2, "a redzone of the stack" },
	{ 0xf3, "a redzone of the stack" }, { 0xf5, "the stack of a function that has returned" },
	{ 0xf8, "a variable out of its scope" }, { 0xf9, "a redzone behind a variable" },
#define FREED_PAGES	0xfc
	{ FREED_PAGES, "freed pages" },
};

void	 kern_end(const char *kind, const char *format, ...) __attribute__((noreturn));

/* Globals are registered before main() runs. */
static void
start(void)
{
	static _Bool started;

	if (!started)
		host_reserve(SHADOW, SHADOW_SIZE);
	started = 1;
}

static code *
of(const void *memory)
{
	return (SHADOW + (word)memory / SCALE);
}

static void
mark(const void *memory, word size, code value)
{
	code *last = of((const char *)memory + size);

	for (code *each = of(memory); each < last; each++)
		*each = value;
}

void
shadow_valid(const void *memory, word size)
{
	mark(memory, size, 0);
}

void
shadow_freed(const void *memory, word size)
{
	mark(memory, size, FREED_PAGES);
}

/* As sys/kern/subr_asan.c has it. */
void
kasan_mark(const void *memory, word size, word with_redzone, code value)
{
	word whole = size / SCALE * SCALE, begun = (size + SCALE - 1) / SCALE * SCALE;

	mark(memory, whole, 0);
	if (begun > whole)
		*of((const char *)memory + whole) = (code)(size - whole);
	if (with_redzone > begun)
		mark((const char *)memory + begun, with_redzone - begun, value);
}

static const char *
reason_of(const char *memory)
{
	code value = *of(memory);

	if (value < SCALE)
		value = *of(memory + SCALE);	/* of an item's last bytes: what is behind them */
	for (word i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].code == value)
			return (reasons[i].name);
	return ("bytes behind an item");
}

static _Bool
is_valid(const char *byte)
{
	code value = *of(byte);

	return (value == 0 || (value < SCALE && (word)byte % SCALE < value));
}

void
shadow_check(const void *memory, word size, _Bool writes)
{
	const char *byte = memory, *end = byte + size;

	for (; byte < end; byte = (const char *)(((word)byte / SCALE + 1) * SCALE)) {
		const char *last = (const char *)(((word)byte / SCALE + 1) * SCALE) - 1;

		if (*of(byte) == 0)
			continue;
		last = last < end ? last : end - 1;
		if (!is_valid(byte) || !is_valid(last))
			kern_end("kasan", "%lu bytes are %s, of %s", size,
			    writes ? "written" : "read", reason_of(byte));
	}
}

/* --- what the compiler calls ----------------------------------------------- */

#define CHECKS(size)							\
void __asan_load##size##_noabort(const void *p) { shadow_check(p, size, 0); }	\
void __asan_store##size##_noabort(const void *p) { shadow_check(p, size, 1); }

CHECKS(1) CHECKS(2) CHECKS(4) CHECKS(8) CHECKS(16)

void
__asan_loadN_noabort(const void *memory, word size)
{
	shadow_check(memory, size, 0);
}

void
__asan_storeN_noabort(const void *memory, word size)
{
	shadow_check(memory, size, 1);
}

void
__asan_handle_no_return(void)
{
}

#define SET(value)							\
void __asan_set_shadow_##value(code *at, word size)			\
{ for (word i = 0; i < size; i++) at[i] = 0x##value; }

SET(00) SET(f1) SET(f2) SET(f3) SET(f5) SET(f8)

void
__asan_poison_stack_memory(const void *memory, word size)
{
	mark(memory, (size + SCALE - 1) / SCALE * SCALE, 0xf8);
}

void
__asan_unpoison_stack_memory(const void *memory, word size)
{
	kasan_mark(memory, size, size, 0);
}

/* Variable-length arrays, which have a redzone on both sides. */
#define ALLOCA_REDZONE	32

void
__asan_alloca_poison(const char *memory, word size)
{
	word begun = (size + SCALE - 1) / SCALE * SCALE;

	mark(memory - ALLOCA_REDZONE, ALLOCA_REDZONE, 0xf1);
	kasan_mark(memory, size, begun, 0xf3);
	mark(memory + begun, ALLOCA_REDZONE, 0xf3);
}

void
__asan_allocas_unpoison(const char *from, const char *to)
{
	if (from != (const char *)0 && from < to)
		mark(from, (word)(to - from), 0);
}

struct global {
	const void	*memory;
	word		 size, with_redzone;
	const char	*name, *module;
	word		 has_constructor;
	const void	*place;
	word		 indicator;
};

void
__asan_register_globals(const struct global *globals, word count)
{
	start();
	for (word i = 0; i < count; i++)
		kasan_mark(globals[i].memory, globals[i].size, globals[i].with_redzone, 0xf9);
}

void
__asan_unregister_globals(const struct global *globals, word count)
{
	(void)globals, (void)count;
}

/* A program may have no such globals. */
__attribute__((constructor)) static void
start_shadow(void)
{
	start();
}

#endif
