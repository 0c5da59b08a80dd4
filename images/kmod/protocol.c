/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */

#include "protocol.h"

#ifdef _KERNEL
#include <sys/malloc.h>
#else
#include "malloc_flags.h"
#endif

#define MARK		"@harness "
#define NUMBER_DIGITS	4
#define CRC_DIGITS	8
#define LINE_MAX	1024
#define DOMAINS_MAX	8

struct line {
	char	text[LINE_MAX];
	size_t	length;
};

static struct line in, out;
static bool (*obey_other)(void);
static struct probe_counters told[DOMAINS_MAX];

/* --- what is said ------------------------------------------------------- */

static void
put_char(char c)
{
	if (out.length < sizeof(out.text))
		out.text[out.length++] = c;
}

static void
put_text(const char *text)
{
	while (*text != '\0')
		put_char(*text++);
}

static void
put_number(uint64_t number)
{
	char digits[20];
	int count = 0;

	do
		digits[count++] = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	while (count > 0)
		put_char(digits[--count]);
}

static void
put_hex(uint32_t number)
{
	for (int shift = 4 * (CRC_DIGITS - 1); shift >= 0; shift -= 4)
		put_char("0123456789abcdef"[number >> shift & 0xf]);
}

void
probe_field(const char *key, uint64_t number)
{
	put_char(' ');
	put_text(key);
	put_char('=');
	put_number(number);
}

/* Begins an answer to the command that was read. */
void
probe_begin(const char *name)
{
	out.length = 0;
	put_text(MARK);
	for (size_t digit = 0; digit < NUMBER_DIGITS; digit++)
		put_char(in.text[sizeof(MARK) - 1 + digit]);
	put_char(' ');
	put_text(name);
}

void
probe_finish(void)
{
	size_t start = sizeof(MARK) - 1;
	uint32_t crc = probe_crc32(out.text + start, out.length - start);

	put_text(" *");
	put_hex(crc);
	put_char('\n');
	probe_send(out.text, out.length);
}

void
probe_refused(const char *why)
{
	probe_begin("error");
	put_text(" why=");
	put_text(why);
	probe_finish();
}

static void
put_counters(int domain, const struct probe_counters *now)
{
	const unsigned numbers[] = { now->pages, now->free_items, now->free_slabs,
	    now->in_part_list, now->in_free_list, now->in_full_list };

	put_text(" d");
	put_number((uint64_t)domain);
	put_char('=');
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (i > 0)
			put_char(',');
		put_number(numbers[i]);
	}
}

/* The iterator's place, and each domain whose counters have changed. */
static void
put_state(bool whole)
{
	probe_field("place", probe_place());
	for (int domain = 0; domain < probe_domains() && domain < DOMAINS_MAX; domain++) {
		struct probe_counters now;

		memset(&now, 0, sizeof(now));
		probe_count(domain, &now);
		if (!whole && memcmp(&now, &told[domain], sizeof(now)) == 0)
			continue;
		told[domain] = now;
		put_counters(domain, &now);
	}
}

static void
answer(const char *name, const char *error, const struct probe_outcome *outcome)
{
	if (error != NULL) {
		probe_refused(error);
		return;
	}
	probe_begin(name);
	if (outcome->item) {
		put_text(" item=");
		put_number(outcome->slab);
		put_char('.');
		put_number(outcome->index);
		probe_field("domain", (uint64_t)outcome->domain);
	}
	if (outcome->calls > 0) {
		put_text(" calls=");
		for (unsigned i = 0; i < outcome->calls && i < PROBE_CALLS; i++)
			put_char((char)('0' + outcome->call[i]));
	}
	if (outcome->calls > PROBE_CALLS)
		probe_field("more", outcome->calls - PROBE_CALLS);
	if (outcome->slept > 0)
		probe_field("slept", outcome->slept);
	put_state(false);
	probe_finish();
}

/* --- what is heard ------------------------------------------------------ */

static int
digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (c - '0');
	if (c >= 'a' && c <= 'f')
		return (c - 'a' + 10);
	return (-1);
}

/* What stands after " key=" in the command; NULL if nothing does. */
static const char *
value_of(const char *key)
{
	size_t length = strlen(key);

	for (size_t at = 0; at + length + 2 < in.length; at++)
		if (in.text[at] == ' ' && memcmp(in.text + at + 1, key, length) == 0 &&
		    in.text[at + 1 + length] == '=')
			return (in.text + at + length + 2);
	return (NULL);
}

/* A decimal number of up to ten digits; -1 if the command has none so called. */
long
probe_number(const char *key)
{
	const char *at = value_of(key), *end = in.text + in.length;
	long number = 0;
	int digits = 0;

	if (at == NULL)
		return (-1);
	for (; at < end && *at >= '0' && *at <= '9' && digits < 10; at++, digits++)
		number = number * 10 + (*at - '0');
	return (digits > 0 ? number : -1);
}

/* One letter a flag, so that no number of FreeBSD's stands in the protocol. */
static bool
flags_of(int *flags)
{
	const char *at = value_of("flags"), *end = in.text + in.length;

	*flags = 0;
	for (; at != NULL && at < end && *at != ' '; at++)
		switch (*at) {
		case 'n':
			*flags |= M_NOWAIT;
			break;
		case 'w':
			*flags |= M_WAITOK;
			break;
		case 'v':
			*flags |= M_NOVM;
			break;
		case 'r':
			*flags |= M_USE_RESERVE;
			break;
		default:
			return (false);
		}
	/* Either; and keg_fetch_slab() asserts against M_WAITOK with M_NOVM. */
	return (((*flags & M_NOWAIT) != 0) != ((*flags & M_WAITOK) != 0) &&
	    (*flags & (M_WAITOK | M_NOVM)) != (M_WAITOK | M_NOVM));
}

bool
probe_is_command(const char *name)
{
	size_t start = sizeof(MARK) - 1 + NUMBER_DIGITS + 1, length = strlen(name);

	return (start + length <= in.length && memcmp(in.text + start, name, length) == 0 &&
	    (start + length == in.length || in.text[start + length] == ' '));
}

static void
do_hello(void)
{
	probe_begin("hello");
	probe_field("version", 1);
	put_text(" guest=");
	put_text(probe_guest());
	probe_field("domains", (uint64_t)probe_domains());
	probe_field("cpus", (uint64_t)probe_cpus());
	probe_field("slots", PROBE_SLOTS);
	probe_finish();
}

static void
do_zone(void)
{
	struct probe_order order = { .size = probe_number("size"), .reserve = probe_number("reserve"),
	    .flags = probe_number("kind"), .patience = probe_number("patience") };
	const char *error = "not-an-order";
	unsigned ipers;

	if (order.size > 0 && order.reserve >= 0 && order.flags >= 0 && order.patience > 0)
		error = probe_zone(&order, &ipers);
	if (error != NULL) {
		probe_refused(error);
		return;
	}
	probe_begin("zone");
	probe_field("ipers", ipers);
	put_state(true);
	probe_finish();
}

static void
do_starve(int domain, int cpu)
{
	struct probe_starved starved;
	const char *error;

	memset(&starved, 0, sizeof(starved));
	error = probe_starve(domain, cpu, (unsigned)probe_number("milliseconds"), &starved);
	if (error != NULL) {
		probe_refused(error);
		return;
	}
	probe_begin("starve");
	probe_field("calls", starved.calls);
	probe_field("run_us", starved.run_us);
	probe_field("elapsed_us", starved.elapsed_us);
	probe_field("wake_us", starved.wake_us);
	probe_field("asleep", starved.asleep);
	probe_field("served", starved.served);
	probe_finish();
}

static void
do_operation(int cpu)
{
	struct probe_outcome outcome;
	long slot = probe_number("slot"), domain = probe_number("domain"), items = probe_number("items");
	long meanwhile = probe_number("meanwhile");
	struct probe_request request = { .slot = (unsigned)slot, .cpu = cpu,
	    .domain = domain < 0 ? PROBE_BY_CPU : (int)domain,
	    .meanwhile = meanwhile < 0 ? PROBE_NO_SLOT : (int)meanwhile };

	memset(&outcome, 0, sizeof(outcome));
	if (slot >= PROBE_SLOTS || meanwhile >= PROBE_SLOTS || domain >= probe_domains())
		probe_refused("out-of-range");
	else if (probe_is_command("alloc") && slot >= 0 && flags_of(&request.flags))
		answer("alloc", probe_alloc(&request, &outcome), &outcome);
	else if (probe_is_command("free") && slot >= 0)
		answer("free", probe_free((unsigned)slot, cpu, &outcome), &outcome);
	else if (probe_is_command("prealloc") && items > 0)
		answer("prealloc", probe_prealloc((unsigned)items, cpu, &outcome), &outcome);
	else if (probe_is_command("drain") && domain >= 0)
		answer("drain", probe_drain((int)domain, &outcome), &outcome);
	else if ((probe_is_command("refuse") || probe_is_command("accept")) && domain >= 0) {
		probe_refuse((int)domain, probe_is_command("refuse"));
		answer("done", NULL, &outcome);
	} else if ((probe_is_command("low") || probe_is_command("recover")) && domain >= 0) {
		probe_low((int)domain, probe_is_command("low"));
		answer("done", NULL, &outcome);
	} else if (probe_is_command("starve") && domain >= 0 && probe_number("milliseconds") > 0)
		do_starve((int)domain, cpu);
	else
		probe_refused("no-such-command");
}

void
probe_register(bool (*obey)(void))
{
	obey_other = obey;
}

static void
obey(void)
{
	long cpu = probe_number("cpu");

	if (probe_is_command("hello"))
		do_hello();
	else if (obey_other != NULL && obey_other())
		return;
	else if (probe_is_command("zone"))
		do_zone();
	else if (probe_is_command("discard")) {
		struct probe_outcome outcome;

		memset(&outcome, 0, sizeof(outcome));
		answer("done", probe_discard(), &outcome);
	} else if (cpu >= probe_cpus())
		probe_refused("no-such-cpu");
	else
		do_operation(cpu < 0 ? 0 : (int)cpu);
}

/* Whether the line is whole; if so, its end is cut off. */
static bool
checksum_holds(void)
{
	size_t start = sizeof(MARK) - 1, tail = 2 + CRC_DIGITS;
	uint32_t crc = 0;

	if (in.length < start + NUMBER_DIGITS + 2 + tail ||
	    memcmp(in.text, MARK, start) != 0 ||
	    memcmp(in.text + in.length - tail, " *", 2) != 0)
		return (false);
	for (size_t i = in.length - CRC_DIGITS; i < in.length; i++) {
		int digit = digit_of(in.text[i]);

		if (digit < 0)
			return (false);
		crc = crc << 4 | (uint32_t)digit;
	}
	in.length -= tail;
	return (probe_crc32(in.text + start, in.length - start) == crc);
}

void
probe_take(char c)
{
	if (c != '\n') {
		if (in.length < sizeof(in.text))
			in.text[in.length++] = c;
		return;
	}
	if (checksum_holds())
		obey();
	else {
		/* Nobody's number: the sender sees that one of its lines is lost. */
		memcpy(in.text, MARK "9999", sizeof(MARK) - 1 + NUMBER_DIGITS);
		probe_refused("checksum");
	}
	in.length = 0;
}
