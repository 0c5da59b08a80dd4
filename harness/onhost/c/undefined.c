/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * What clang's -fsanitize=undefined calls (compiler-rt's ubsan_handlers.h): each
 * ends the program with the place, which the first argument begins with.
 */

struct place {
	const char	*file;
	unsigned	 line, column;
};

void	 kern_end(const char *kind, const char *format, ...) __attribute__((noreturn));

static _Noreturn void
report(const char *what, const struct place *place)
{
	kern_end("kubsan", "%s at %s:%u", what, place->file, place->line);
}

#define HANDLER(name, what)						\
void __ubsan_handle_##name(const struct place *place) { report(what, place); }

HANDLER(add_overflow, "an addition overflows")
HANDLER(sub_overflow, "a subtraction overflows")
HANDLER(mul_overflow, "a multiplication overflows")
HANDLER(negate_overflow, "a negation overflows")
HANDLER(divrem_overflow, "a division by zero, or one that overflows")
HANDLER(shift_out_of_bounds, "a shift by too many bits")
HANDLER(out_of_bounds, "an index out of bounds")
HANDLER(builtin_unreachable, "code is reached that is called unreachable")
HANDLER(missing_return, "a function that has a result ends without one")
HANDLER(vla_bound_not_positive, "an array of no elements")
HANDLER(float_cast_overflow, "a conversion overflows")
HANDLER(load_invalid_value, "a bool or an enumeration has another value")
HANDLER(implicit_conversion, "a conversion changes the value")
HANDLER(invalid_builtin, "a builtin is called with a value that it does not take")
HANDLER(function_type_mismatch, "a function is called by another type")
HANDLER(nonnull_arg, "an argument is null that may not be")
HANDLER(pointer_overflow, "the offset of a pointer overflows")

/* The kinds of accesses of type_mismatch_v1; the alignment that is asked for comes as a power. */
struct mismatch {
	struct place	 place;
	const void	*type;
	unsigned char	 alignment, kind;
};

void
__ubsan_handle_type_mismatch_v1(const struct mismatch *data, unsigned long pointer)
{
	if (pointer == 0)
		report("a null pointer is used", &data->place);
	else if ((pointer & ((1UL << data->alignment) - 1)) != 0)
		report("a misaligned address is used", &data->place);
	report("an object is used that is too small", &data->place);
}

void
__ubsan_handle_nonnull_return_v1(const void *data, const struct place *place)
{
	(void)data;
	report("a result is null that may not be", place);
}
