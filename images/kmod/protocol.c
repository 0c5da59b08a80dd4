/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */

#include "protocol.h"

#include "crc32.h"

#define MARK		"@harness "
#define NUMBER_DIGITS	4
#define CRC_DIGITS	8
#define LINE_MAX	1024
#define PARTS_MAX	8	/* the check module has one, other programs may have several */

/* The command, without the line's end. */
static char in[LINE_MAX];
static size_t in_length;

static char answer[LINE_MAX];
static struct text out;

static bool (*parts[PARTS_MAX])(void);
static int parts_registered;

/* --- what is said ------------------------------------------------------- */

struct text *
probe_begin(const char *name)
{
	out = text_into(answer, sizeof(answer));
	text_string(&out, MARK);
	for (size_t digit = 0; digit < NUMBER_DIGITS; digit++)
		text_char(&out, in[sizeof(MARK) - 1 + digit]);
	text_char(&out, ' ');
	text_string(&out, name);
	return (&out);
}

void
probe_field(const char *key, uint64_t number)
{
	text_char(&out, ' ');
	text_string(&out, key);
	text_char(&out, '=');
	text_number(&out, number);
}

void
probe_finish(void)
{
	const char *start = answer + sizeof(MARK) - 1;
	uint32_t crc = probe_crc32(start, (size_t)(out.at - start));

	text_string(&out, " *");
	text_hex(&out, crc, CRC_DIGITS);
	text_char(&out, '\n');
	probe_send(answer, (size_t)(out.at - answer));
}

void
probe_refused(const char *why)
{
	probe_begin("error");
	text_string(&out, " why=");
	text_string(&out, why);
	probe_finish();
}

void
probe_done(const char *why)
{
	if (why != NULL) {
		probe_refused(why);
		return;
	}
	probe_begin("done");
	probe_finish();
}

/* --- what is heard ------------------------------------------------------ */

const char *
probe_value(const char *key)
{
	size_t length = strlen(key);

	for (size_t at = 0; at + length + 2 < in_length; at++)
		if (in[at] == ' ' && memcmp(in + at + 1, key, length) == 0 &&
		    in[at + 1 + length] == '=')
			return (in + at + length + 2);
	return (NULL);
}

/* A decimal number of up to ten digits. */
long
probe_number(const char *key)
{
	const char *at = probe_value(key);
	long number = 0;
	int digits = 0;

	if (at == NULL)
		return (-1);
	for (; digit_of(*at) < 10 && digits < 10; at++, digits++)
		number = number * 10 + digit_of(*at);
	return (digits > 0 ? number : -1);
}

bool
probe_is_command(const char *name)
{
	size_t start = sizeof(MARK) - 1 + NUMBER_DIGITS + 1, length = strlen(name);

	return (start + length <= in_length && memcmp(in + start, name, length) == 0 &&
	    (start + length == in_length || in[start + length] == ' '));
}

static void
do_hello(void)
{
	probe_begin("hello");
	probe_field("version", 1);
	text_string(&out, " guest=");
	text_string(&out, probe_guest());
	probe_field("domains", (uint64_t)probe_domains());
	probe_field("cpus", (uint64_t)probe_cpus());
	probe_finish();
}

void
probe_register(bool (*obey)(void))
{
	if (parts_registered < PARTS_MAX)
		parts[parts_registered++] = obey;
}

static bool
part_obeys(void)
{
	for (int i = 0; i < parts_registered; i++)
		if (parts[i]())
			return (true);
	return (false);
}

static void
obey(void)
{
	if (probe_is_command("hello"))
		do_hello();
	else if (probe_number("cpu") >= probe_cpus())
		probe_refused("no-such-cpu");
	else if (!part_obeys())
		probe_refused("no-such-command");
}

/* Whether the line is whole; if so, its end is cut off. */
static bool
checksum_holds(void)
{
	size_t start = sizeof(MARK) - 1, tail = 2 + CRC_DIGITS;
	uint32_t crc = 0;

	if (in_length < start + NUMBER_DIGITS + 2 + tail ||
	    memcmp(in, MARK, start) != 0 ||
	    memcmp(in + in_length - tail, " *", 2) != 0)
		return (false);
	for (size_t i = in_length - CRC_DIGITS; i < in_length; i++) {
		int digit = digit_of(in[i]);

		if (digit == 16)
			return (false);
		crc = crc << 4 | (uint32_t)digit;
	}
	in_length -= tail;
	in[in_length] = '\0';
	return (probe_crc32(in + start, in_length - start) == crc);
}

void
probe_take(char c)
{
	if (c != '\n') {
		if (in_length < sizeof(in))
			in[in_length++] = c;
		return;
	}
	if (checksum_holds())
		obey();
	else {
		/* Nobody's number: the sender sees that one of its lines is lost. */
		memcpy(in, MARK "9999", sizeof(MARK) - 1 + NUMBER_DIGITS);
		probe_refused("checksum");
	}
	in_length = 0;
}
