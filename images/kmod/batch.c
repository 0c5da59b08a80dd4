/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Several commands on one line, in short: a byte that QEMU delivers takes
 * longer than all that is done with it.  README.md tells the form.
 */

#include "protocol.h"

#include "batch.h"
#include "crc32.h"

#define MARK		"@harness "
#define BATCH		"batch "
#define NUMBER_DIGITS	4
#define NUMBERS		9999
#define CRC_DIGITS	8
#define BATCH_MAX	1024
#define FORMS		26	/* a letter each */

/* The line, without its end. */
static char in[BATCH_MAX + 1];
static size_t in_length;

/* One of its commands. */
static char command[BATCH_MAX];

static const size_t number_at = sizeof(MARK) - 1;
static const size_t name_at = sizeof(MARK) - 1 + NUMBER_DIGITS + 1;

static void
pass_on(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		probe_take(text[i]);
	probe_take('\n');
}

static void
put_checksum(struct text *line, const char *text, size_t length)
{
	text_string(line, " *");
	text_hex(line, probe_crc32(text, length), CRC_DIGITS);
}

/* Whether the line is a whole batch; if so, its checksum is cut off. */
static bool
is_batch(void)
{
	size_t tail = 2 + CRC_DIGITS, name = sizeof(BATCH) - 1;
	char expected[2 + CRC_DIGITS + 1];
	struct text text = text_into(expected, sizeof(expected));

	if (in_length < name_at + name + tail || memcmp(in, MARK, number_at) != 0 ||
	    memcmp(in + name_at, BATCH, name) != 0)
		return (false);
	put_checksum(&text, in + number_at, in_length - number_at - tail);
	if (memcmp(in + in_length - tail, expected, tail) != 0)
		return (false);
	in_length -= tail;
	in[in_length] = '\0';
	return (true);
}

static bool
ends(char c)
{
	return (c == ';' || c == '\0');
}

/* The form, with each '%' replaced by the next of the values. */
static void
put_command(struct text *line, const char *form, const char *values)
{
	for (; !ends(*form); form++) {
		if (*form != '%') {
			text_char(line, *form);
			continue;
		}
		while (!ends(*values) && *values != ',')
			text_char(line, *values++);
		if (*values == ',')
			values++;
	}
}

/* A form that was not told is no command, and is refused. */
static void
obey(unsigned number, const char *form, const char *values)
{
	struct text line = text_into(command, sizeof(command));

	text_string(&line, MARK);
	for (unsigned unit = 1000; unit > 0; unit /= 10)
		text_number(&line, number / unit % 10);
	text_char(&line, ' ');
	put_command(&line, form != NULL ? form : "?", values);
	put_checksum(&line, command + number_at, (size_t)(line.at - command) - number_at);
	pass_on(command, (size_t)(line.at - command));
}

static unsigned
number_of_line(void)
{
	unsigned number = 0;

	for (size_t i = 0; i < NUMBER_DIGITS; i++)
		number = number * 10 + (unsigned)digit_of(in[number_at + i]);
	return (number % NUMBERS);
}

/* Each command has the number after that of the one before. */
static void
split(void)
{
	const char *forms[FORMS] = { NULL }, *next;
	unsigned number = number_of_line();

	for (const char *at = in + name_at + sizeof(BATCH) - 1; *at >= 'a' && *at <= 'z'; at = next) {
		for (next = at; !ends(*next); next++)
			continue;
		if (at[1] == '=')
			forms[*at - 'a'] = at + 2;
		else {
			obey(number, forms[*at - 'a'], at + 1);
			number = (number + 1) % NUMBERS;
		}
		if (*next == ';')
			next++;
	}
}

void
batch_take(char c)
{
	if (c != '\n') {
		if (in_length < BATCH_MAX)
			in[in_length++] = c;
		return;
	}
	if (is_batch())
		split();
	else
		pass_on(in, in_length);
	in_length = 0;
}
