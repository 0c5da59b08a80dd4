/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* The kernel's memory domains, and what each of them has; and the whole report. */

#include "facts.h"
#include "libc.h"
#include "report.h"
#include "syscall.h"
#include "sysctl.h"

#define MAXCPU		1024	/* the largest of the releases */
#define PAGE_SIZE	4096

/* cpuset_getaffinity(2), sys/sys/cpuset.h */
enum {
	CPU_LEVEL_WHICH = 3,
	CPU_WHICH_DOMAIN = 6,
};

/* Sysctls that answer with a table in words. */
static char table[64 * 1024];

int
count_domains(void)
{
	uint64_t domains = sysctl_number("vm.ndomains", 1);

	return ((int)(domains > MAXMEMDOM ? MAXMEMDOM : domains));
}

static void
report_cpus(int domains)
{
	static unsigned char of_domain[MAXMEMDOM][MAXCPU / 8];

	for (int domain = 0; domain < domains; domain++)
		(void)syscall(SYS_cpuset_getaffinity, CPU_LEVEL_WHICH, CPU_WHICH_DOMAIN,
		    (uint64_t)domain, MAXCPU / 8, (uintptr_t)of_domain[domain], 0);
	for (int cpu = 0; cpu < MAXCPU; cpu++)
		for (int domain = 0; domain < domains; domain++)
			if ((of_domain[domain][cpu / 8] >> (cpu % 8) & 1) != 0) {
				record("cpu");
				field_number("id", cpu);
				field_number("domain", domain);
				record_done();
			}
}

/* As the kernel made them out (sys/kern/subr_smp.c). */
static void
report_cores(void)
{
	uint64_t cores = sysctl_number("kern.smp.cores", 0);

	if (cores == 0)
		return;
	record("cores");
	field_number("count", (int64_t)cores);
	field_number("threads", (int64_t)sysctl_number("kern.smp.threads_per_core", 0));
	record_done();
}

/* By the segments that vm_phys(9) manages: what firmware and kernel image take is not in them. */
static void
report_memory(int domains)
{
	int64_t pages[MAXMEMDOM] = { 0 };
	int64_t start, end, domain;
	const char *at = table;

	if (!sysctl_text("vm.phys_segs", table, sizeof(table)))
		return;
	while (skip_past(&at, "start:") && read_number(&at, &start) && skip_past(&at, "end:") &&
	    read_number(&at, &end) && skip_past(&at, "domain:") && read_number(&at, &domain))
		if (domain >= 0 && domain < domains)
			pages[domain] += (end - start) / PAGE_SIZE;
	for (int i = 0; i < domains; i++) {
		record("memory");
		field_number("domain", i);
		field_number("pages", pages[i]);
		field_number("page_size", PAGE_SIZE);
		record_done();
	}
}

/* As in "0: 10 20 \n1: 20 10 \n"; a kernel without NUMA has no such sysctl. */
static void
report_distances(int domains)
{
	int64_t from, value;
	const char *at = table;

	if (!sysctl_text("vm.phys_locality", table, sizeof(table)))
		return;
	while (read_number(&at, &from) && skip_past(&at, ":"))
		for (int to = 0; to < domains && read_number(&at, &value); to++) {
			record("distance");
			field_number("from", from);
			field_number("to", to);
			field_number("value", value);
			record_done();
		}
}

void
report_topology(void)
{
	int domains = count_domains();

	record("topology");
	field_number("domains", domains);
	field_number("cpus", (int64_t)sysctl_number("hw.ncpu", 0));
	record_done();
	report_cores();
	report_cpus(domains);
	report_memory(domains);
	report_distances(domains);
}

void
report_facts(const char *nonce)
{
	report_begin(nonce);
	record("begin");
	field_number("version", 2);
	field_text("guest", "freebsd");
	if (kenv_is_one("harness.renew"))
		field_number("renew", 1);
	record_done();
	report_kernel();
	report_topology();
	report_subsystems(count_domains());
	report_tables();
	report_end();
}
