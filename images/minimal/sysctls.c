/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* sysctl(8): "sysctl [-n] NAME[=VALUE] ...", with the same output. */

#include "commands.h"
#include "libc.h"
#include "sysctl.h"

#include "shell.h"

#define NAME_SIZE	256

static char value[256 * 1024];	/* of one sysctl; one byte is for a final NUL */

/* Bytes of a number of that type; 0 for what is no number. */
static size_t
width_of(enum sysctl_type type)
{
	switch (type) {
	case TYPE_U8: case TYPE_S8:
		return (1);
	case TYPE_U16: case TYPE_S16:
		return (2);
	case TYPE_INT: case TYPE_UINT: case TYPE_S32: case TYPE_U32:
		return (4);
	case TYPE_LONG: case TYPE_ULONG: case TYPE_S64: case TYPE_U64:
		return (8);
	default:
		return (0);
	}
}

static bool
is_signed(enum sysctl_type type)
{
	return (type == TYPE_INT || type == TYPE_LONG || type == TYPE_S8 || type == TYPE_S16 ||
	    type == TYPE_S32 || type == TYPE_S64);
}

static void
print_numbers(enum sysctl_type type, size_t size)
{
	size_t width = width_of(type);

	for (size_t at = 0; at + width <= size; at += width) {
		uint64_t number = 0;
		uint64_t sign = 1ULL << (8 * width - 1);

		memcpy(&number, value + at, width);
		if (at > 0)
			shell_print(" ");
		if (is_signed(type) && (number & sign) != 0) {
			shell_print("-");
			number = sign - (number & (sign - 1));
		}
		shell_print_number(number);
	}
}

/* False if it cannot be read, or has no text. */
static bool
print_value(const struct oid *oid, enum sysctl_type type)
{
	size_t size = sizeof(value) - 1;

	if (type == TYPE_OPAQUE || !sysctl_read(oid, value, &size))
		return (false);
	value[size] = '\0';
	if (type == TYPE_STRING)
		shell_print(value);
	else
		print_numbers(type, size);
	return (true);
}

static bool
set_value(const struct oid *oid, enum sysctl_type type, const char *text)
{
	const char *at = text;
	int64_t number;

	if (type == TYPE_STRING)
		return (sysctl_write(oid, text, strlen(text) + 1));
	return (width_of(type) > 0 && read_number(&at, &number) && *at == '\0' &&
	    sysctl_write(oid, &number, width_of(type)));
}

static int
print_one(const char *name, const struct oid *oid, enum sysctl_type type, const char *new, bool bare)
{
	if (!bare) {
		shell_print(name);
		shell_print(": ");
	}
	if (!print_value(oid, type))
		return (shell_fail("sysctl", name, "cannot be read as text"));
	if (new != NULL) {
		shell_print(" -> ");
		if (!set_value(oid, type, new))
			return (shell_fail("sysctl", name, "cannot be set to that value"));
		(void)print_value(oid, type);
	}
	shell_print("\n");
	return (0);
}

/* All leaves below a node, except those without text. */
static int
print_below(const struct oid *node, bool bare)
{
	struct oid leaf = *node;
	char name[NAME_SIZE];
	enum sysctl_type type;

	while (sysctl_next(&leaf, &leaf) && leaf.length >= node->length &&
	    memcmp(leaf.number, node->number, node->length * sizeof(int)) == 0)
		if (sysctl_type(&leaf, &type) && type != TYPE_OPAQUE &&
		    sysctl_name(&leaf, name, sizeof(name)))
			(void)print_one(name, &leaf, type, NULL, bare);
	return (0);
}

static int
do_one(char *name, bool bare)
{
	struct oid oid;
	enum sysctl_type type;
	char *new = NULL;

	for (char *at = name; *at != '\0' && new == NULL; at++)
		if (*at == '=') {
			*at = '\0';
			new = at + 1;
		}
	if (!sysctl_find(name, &oid) || !sysctl_type(&oid, &type))
		return (shell_fail("sysctl", name, "unknown oid"));
	if (type != TYPE_NODE)
		return (print_one(name, &oid, type, new, bare));
	if (new != NULL)
		return (shell_fail("sysctl", name, "is a node"));
	return (print_below(&oid, bare));
}

int
do_sysctl(int argc, char **argv)
{
	bool bare = argc > 1 && strlen(argv[1]) == 2 && memcmp(argv[1], "-n", 2) == 0;
	int status = 0;

	for (int i = bare ? 2 : 1; i < argc; i++)
		status |= do_one(argv[i], bare);
	return (status);
}
