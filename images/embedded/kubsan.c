/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The undefined behavior sanitizer: what clang's
 * -fsanitize=signed-integer-overflow calls where an operation overflows.
 * Reports read as those of FreeBSD's sys/kern/kern_ubsan.c, which also prints
 * each place once, and the kernel goes on.
 */

#include "kernel.h"

#ifdef KUBSAN

#define ALREADY_REPORTED	(1u << 31)	/* in the line, as in kern_ubsan.c */

struct source_location {
	const char	*file;
	uint32_t	 line;
	uint32_t	 column;
};

struct type_descriptor {
	uint16_t	 kind;
	uint16_t	 info;		/* bit 0: signed; above, log2 of the width */
	char		 name[];	/* in quotes */
};

struct overflow {
	struct source_location		 location;
	const struct type_descriptor	*type;
};

typedef void handler_t(struct overflow *data, uintptr_t left, uintptr_t right);
typedef void negate_handler_t(struct overflow *data, uintptr_t value);

handler_t	 __ubsan_handle_add_overflow, __ubsan_handle_sub_overflow;
handler_t	 __ubsan_handle_mul_overflow, __ubsan_handle_divrem_overflow;
negate_handler_t __ubsan_handle_negate_overflow;

/* A value of at most 64 bits, sign extended from its own width. */
static long
value_of(const struct type_descriptor *type, uintptr_t value)
{
	uint32_t unused = 64 - (1u << (type->info >> 1));

	return ((long)(value << unused) >> unused);
}

static bool
is_reported(struct source_location *location)
{
	bool reported = (location->line & ALREADY_REPORTED) != 0;

	location->line |= ALREADY_REPORTED;
	return (reported);
}

static void
report(struct overflow *data, uintptr_t left, const char *operation, uintptr_t right)
{
	struct source_location *at = &data->location;

	if (is_reported(at))
		return;
	printf("UBSan: Undefined Behavior in %s:%u:%u, signed integer overflow: "
	    "%ld %s %ld cannot be represented in type %s\n", at->file,
	    at->line & ~ALREADY_REPORTED, at->column, value_of(data->type, left), operation,
	    value_of(data->type, right), data->type->name);
}

void
__ubsan_handle_add_overflow(struct overflow *data, uintptr_t left, uintptr_t right)
{
	report(data, left, "+", right);
}

void
__ubsan_handle_sub_overflow(struct overflow *data, uintptr_t left, uintptr_t right)
{
	report(data, left, "-", right);
}

void
__ubsan_handle_mul_overflow(struct overflow *data, uintptr_t left, uintptr_t right)
{
	report(data, left, "*", right);
}

void
__ubsan_handle_divrem_overflow(struct overflow *data, uintptr_t left, uintptr_t right)
{
	report(data, left, "divided by", right);
}

void
__ubsan_handle_negate_overflow(struct overflow *data, uintptr_t value)
{
	struct source_location *at = &data->location;

	if (is_reported(at))
		return;
	printf("UBSan: Undefined Behavior in %s:%u:%u, negation of %ld cannot be represented in "
	    "type %s\n", at->file, at->line & ~ALREADY_REPORTED, at->column,
	    value_of(data->type, value), data->type->name);
}

#endif /* KUBSAN */
