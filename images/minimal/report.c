/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */

#include "libc.h"
#include "report.h"
#include "syscall.h"

#include "../kmod/crc32.h"

#define REPORT_MAX	(512 * 1024)
#define MARK		"@harness "

static char report[REPORT_MAX];
static struct text out = { .at = report, .end = report + REPORT_MAX };
static const char *covered;	/* where the checksum of this record begins */
static unsigned records;
static const char *tag = "";	/* the boot's nonce */

static bool
is_plain(char c)
{
	return ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	    c == '.' || c == '_' || c == ':' || c == ',' || c == '/' || c == '+' || c == '-');
}

void
report_begin(const char *nonce)
{
	tag = nonce;
	out.at = report;
	records = 0;
}

void
record(const char *name)
{
	text_string(&out, MARK);
	covered = out.at;
	text_string(&out, tag);
	if (*tag != '\0')
		text_char(&out, ' ');
	for (unsigned place = 1000; place > 0; place /= 10)
		text_char(&out, (char)('0' + records / place % 10));
	text_char(&out, ' ');
	text_string(&out, name);
	records++;
}

static void
put_key(const char *key)
{
	text_char(&out, ' ');
	text_string(&out, key);
	text_char(&out, '=');
}

void
field_number(const char *key, int64_t value)
{
	put_key(key);
	if (value < 0)
		text_char(&out, '-');
	text_number(&out, (uint64_t)(value < 0 ? -value : value));
}

void
field_text(const char *key, const char *value)
{
	put_key(key);
	for (; *value != '\0'; value++)
		if (is_plain(*value)) {
			text_char(&out, *value);
		} else {
			text_char(&out, '%');
			text_hex(&out, (unsigned char)*value, 2);
		}
}

void
field_bytes(const char *key, const void *bytes, size_t length)
{
	const unsigned char *byte = bytes;

	put_key(key);
	while (length-- > 0)
		text_hex(&out, *byte++, 2);
}

void
record_done(void)
{
	uint32_t crc = probe_crc32(covered, (size_t)(out.at - covered));

	text_string(&out, " *");
	text_hex(&out, crc, 8);
	text_char(&out, '\n');
}

void
report_end(void)
{
	record("end");
	field_number("records", records);
	record_done();
}

void
report_print(int64_t console, int copies)
{
	while (copies-- > 0) {
		const char *from = report;
		int64_t written;

		while (from < out.at) {
			written = syscall(SYS_write, (uint64_t)console, (uintptr_t)from,
			    (uint64_t)(out.at - from), 0, 0, 0);
			if (written <= 0)
				break;
			from += written;
		}
	}
}
