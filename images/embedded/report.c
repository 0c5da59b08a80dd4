/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The probe report: what a regression needs to know of the guest, a record a
 * line, each with its number and checksum:
 *
 *	@harness NONCE NNNN name key=value ... *CRC-32
 */

#include "acpi.h"
#include "boot.h"
#include "crc32.h"
#include "keg.h"
#include "numa.h"
#include "pool.h"
#include "report.h"

#define LINE_MAX	256
#define TABLE_PART	64	/* bytes of a table in one record */
#define NONCE_SIZE	17	/* 16 hexadecimal digits and a NUL */
#define BUILD_ID_AT	16	/* in its note: after three sizes and "GNU" (elf(5)) */
#define BUILD_ID_MAX	20

#if HARNESS_COMMIT
#define SIDE		"after"
#else
#define SIDE		"before"
#endif

const char version[] = RELEASE " " HARNESS_IDENT ", " SIDE " the commit\n";

extern const uint8_t build_id_start[], build_id_end[];

static unsigned sequence;
static char renewed[NONCE_SIZE];	/* empty: the tunable's counts */

void
report_nonce(const char *nonce)
{
	snprintf(renewed, sizeof(renewed), "%s", nonce);
}

static bool
renewable(void)
{
	int renew = 0;

	return (tunable_int("harness.renew", &renew) && renew != 0);
}

static bool
find_nonce(char *nonce, size_t size)
{
	if (renewed[0] == '\0')
		return (tunable_string("harness.nonce", nonce, size));
	snprintf(nonce, size, "%s", renewed);
	return (true);
}

static void __printflike(1, 2)
record(const char *format, ...)
{
	char line[LINE_MAX], nonce[NONCE_SIZE];
	va_list arguments;
	int length = 0;

	if (find_nonce(nonce, sizeof(nonce)))
		length = snprintf(line, sizeof(line), "%s ", nonce);
	length += snprintf(line + length, sizeof(line) - (size_t)length, "%04u ", sequence++);
	va_start(arguments, format);
	length += vsnprintf(line + length, sizeof(line) - (size_t)length, format, arguments);
	va_end(arguments);
	KASSERT((size_t)length < sizeof(line), ("%s: a record is too long", __func__));
	printf("@harness %s *%08x\n", line, probe_crc32(line, (size_t)length));
}

/* As a sysctl's name has it, and so without need of an escape. */
static void
zone_label(const char *name, char *label, size_t size)
{
	size_t used;

	for (used = 0; name[used] != '\0' && used + 1 < size; used++)
		label[used] = name[used] == ' ' ? '_' : name[used];
	label[used] = '\0';
}

static void
report_kernel(void)
{
	size_t length = (size_t)(build_id_end - build_id_start);
	char build_id[2 * BUILD_ID_MAX + 1] = "";

	for (size_t at = BUILD_ID_AT; at < MIN(length, BUILD_ID_AT + BUILD_ID_MAX); at++)
		snprintf(build_id + 2 * (at - BUILD_ID_AT), 3, "%02x", build_id_start[at]);
	record("kernel release=%s osreldate=0 ident=%s build_id=%s", RELEASE, HARNESS_IDENT,
	    build_id);
	record("config sanitizers=%s numa=1", HARNESS_SANITIZERS);
}

static void
report_topology(void)
{
	record("topology domains=%d cpus=%d", vm_ndomains, mp_ncpus);
	for (int cpu = 0; cpu < mp_ncpus; cpu++)
		record("cpu id=%d domain=%d", cpu, cpus[cpu].domain);
	for (int domain = 0; domain < vm_ndomains; domain++)
		record("memory domain=%d pages=%lu page_size=%d", domain,
		    vm_domain(domain)->vmd_page_count, PAGE_SIZE);
	for (int from = 0; from < vm_ndomains; from++)
		for (int to = 0; to < vm_ndomains; to++)
			record("distance from=%d to=%d value=%d", from, to,
			    vm_phys_lookup_locality(from, to));
}

static void
report_zone(const struct uma_keg *keg)
{
	char label[32];

	zone_label(keg->uk_name, label, sizeof(label));
	record("zone name=%s reserve=%u ipers=%u", label, keg->uk_reserve, keg->uk_ipers);
	for (int domain = 0; domain < vm_ndomains; domain++) {
		const struct uma_domain *dom = &keg->uk_domain[domain];

		record("zonedomain zone=%s domain=%d pages=%u free_items=%u free_slabs=%u", label,
		    domain, dom->ud_pages, dom->ud_free_items, dom->ud_free_slabs);
	}
}

static void
report_table(const char *signature)
{
	const struct acpi_header *table = acpi_find_table(signature);
	unsigned parts;

	if (table == NULL)
		return;
	parts = howmany(table->length, TABLE_PART);
	for (unsigned part = 0; part < parts; part++) {
		const uint8_t *bytes = (const uint8_t *)table + part * TABLE_PART;
		size_t length = MIN(table->length - part * TABLE_PART, TABLE_PART);
		char hex[2 * TABLE_PART + 1];

		for (size_t i = 0; i < length; i++)
			snprintf(hex + 2 * i, sizeof(hex) - 2 * i, "%02x", bytes[i]);
		record("table name=%s part=%u parts=%u hex=%s", signature, part, parts, hex);
	}
}

void
report_print(void)
{
	const struct uma_keg *keg;

	sequence = 0;
	record("begin version=2 guest=embedded%s", renewable() ? " renew=1" : "");
	report_kernel();
	report_topology();
	for (size_t i = 0; (keg = uma_keg_at(i)) != NULL; i++)
		if (keg->uk_reserve > 0)
			report_zone(keg);
	report_table("SRAT");
	report_table("SLIT");
	record("end records=%u", sequence + 1);
}
