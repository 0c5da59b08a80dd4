/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* Which kernel this is: its release, its linker's build id, its configuration. */

#include "facts.h"
#include "libc.h"
#include "report.h"
#include "sysctl.h"

#define SANITIZERS_MAX	64

/* The harness compiles with its table of sanitizers: "KASAN","KMSAN" and so on. */
#ifndef SANITIZER_OPTIONS
#error "the options of sanitizers are not given"
#endif

/* kern.version is 256 bytes at least, kern.conftxt of GENERIC some 10 KiB. */
static char value[128 * 1024];

static void
field_sysctl(const char *key, const char *name)
{
	field_text(key, sysctl_text(name, value, sizeof(value)) ? value : "");
}

/* Whether the line begins with this word, and what follows it. */
static bool
word(const char **line, const char *expected)
{
	size_t length = strlen(expected);
	const char *at = *line;

	while (*at == ' ' || *at == '\t')
		at++;
	if (strlen(at) < length || memcmp(at, expected, length) != 0)
		return (false);
	at += length;
	if (*at != ' ' && *at != '\t' && *at != '\n' && *at != '\0' && *at != '#')
		return (false);
	*line = at;
	return (true);
}

/* config(5): the last of "options NAME" and "nooptions NAME" counts. */
static bool
has_option(const char *config, const char *option)
{
	bool found = false;

	while (*config != '\0') {
		const char *line = config;
		bool given = word(&line, "options") || word(&line, "option");

		if ((given || word(&line, "nooptions") || word(&line, "nooption")) &&
		    word(&line, option))
			found = given;
		while (*config != '\0' && *config++ != '\n')
			continue;
	}
	return (found);
}

/* Only a kernel with options INCLUDE_CONFIG_FILE contains its configuration. */
static void
report_config(void)
{
	static const char *const sanitizers[] = { SANITIZER_OPTIONS };
	char listed[SANITIZERS_MAX];
	struct text list = text_into(listed, sizeof(listed));

	if (!sysctl_text("kern.conftxt", value, sizeof(value)) || *value == '\0')
		return;
	for (size_t i = 0; i < sizeof(sanitizers) / sizeof(sanitizers[0]); i++)
		if (has_option(value, sanitizers[i])) {
			text_string(&list, *listed == '\0' ? "" : ",");
			text_string(&list, sanitizers[i]);
		}
	record("config");
	field_text("sanitizers", listed);
	field_number("numa", has_option(value, "NUMA"));
	record_done();
}

void
report_kernel(void)
{
	record("kernel");
	field_sysctl("release", "kern.osrelease");
	field_number("osreldate", (int64_t)sysctl_number("kern.osreldate", 0));
	field_sysctl("ident", "kern.ident");
	field_sysctl("build_id", "kern.build_id");
	record_done();
	record("version");
	field_sysctl("text", "kern.version");
	record_done();
	report_config();
}
