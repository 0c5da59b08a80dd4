/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Which memory and which CPU lies in which domain: ACPI's SRAT and SLIT, read
 * by the rules of FreeBSD's sys/dev/acpica/acpi_pxm.c.  As there, a table that
 * does not hold together is ignored as a whole: the machine has one domain.
 */

#include "acpi.h"
#include "boot.h"
#include "numa.h"

#define MEM_MAX		64
#define NO_DOMAIN	(-1)

#define MADT_ENTRIES	44	/* where the list begins (ACPI 6.5, 5.2.12) */
#define MADT_LAPIC	0
#define MADT_X2APIC	9
#define SRAT_ENTRIES	48	/* (5.2.16) */
#define SRAT_CPU	0
#define SRAT_MEMORY	1
#define SRAT_X2APIC	2
#define SLIT_COUNT	36	/* (5.2.17) */
#define SLIT_ENTRIES	44

#define ENTRY_ENABLED	0x1
#define FIRST_MIB	0x100000

struct entry {
	uint8_t	type;
	uint8_t	length;
	uint8_t	body[];
} __packed;

typedef bool entry_handler(const struct entry *);

int vm_ndomains = 1;
int pcpu_domain;
struct cpu_info cpus[MAXCPU];
int mp_ncpus;

static struct mem_affinity mem_info[MEM_MAX];
static int num_mem;
static int domain_pxm[MAXMEMDOM];
static int locality[MAXMEMDOM][MAXMEMDOM];

static uint32_t
read32(const struct entry *entry, size_t offset)
{
	uint32_t value = 0;

	if (offset + sizeof(value) <= entry->length)
		memcpy(&value, (const char *)entry + offset, sizeof(value));
	return (value);
}

static uint64_t
read64(const struct entry *entry, size_t offset)
{
	return (read32(entry, offset) | (uint64_t)read32(entry, offset + 4) << 32);
}

/* Stops at the first entry that its handler refuses, and returns false. */
static bool
walk(const struct acpi_header *table, size_t offset, entry_handler *handler)
{
	while (offset + sizeof(struct entry) <= table->length) {
		const struct entry *entry = (const void *)((const char *)table + offset);

		if (entry->length < sizeof(*entry) || offset + entry->length > table->length)
			return (false);
		if (!handler(entry))
			return (false);
		offset += entry->length;
	}
	return (true);
}

static bool
madt_entry(const struct entry *entry)
{
	bool x2apic = entry->type == MADT_X2APIC;
	uint32_t flags = read32(entry, x2apic ? 8 : 4);

	if ((entry->type != MADT_LAPIC && !x2apic) || (flags & ENTRY_ENABLED) == 0 ||
	    mp_ncpus == MAXCPU)
		return (true);
	cpus[mp_ncpus++].apic_id = x2apic ? read32(entry, 4) : entry->body[1];
	return (true);
}

static bool
srat_cpu(uint32_t apic_id, int domain, uint32_t flags)
{
	bool enabled = (flags & ENTRY_ENABLED) != 0;

	printf("SRAT: Found CPU APIC ID %u domain %d: %s\n", apic_id, domain,
	    enabled ? "enabled" : "disabled");
	for (int i = 0; enabled && i < mp_ncpus; i++) {
		if (cpus[i].apic_id != apic_id)
			continue;
		if (cpus[i].in_srat) {
			printf("SRAT: Duplicate local APIC ID %u\n", apic_id);
			return (false);
		}
		cpus[i].in_srat = true;
		cpus[i].domain = domain;
	}
	return (true);
}

static bool
overlaps_phys_avail(vm_paddr_t start, vm_paddr_t end)
{
	for (int i = 0; i < phys_avail_count; i++)
		if (phys_avail[i].start < end && start < phys_avail[i].end)
			return (true);
	return (false);
}

static bool
srat_memory(const struct entry *entry)
{
	int domain = (int)read32(entry, 2);
	vm_paddr_t start = read64(entry, 8);
	vm_paddr_t length = read64(entry, 16);
	bool enabled = (read32(entry, 28) & ENTRY_ENABLED) != 0;

	printf("SRAT: Found memory domain %d addr %#lx len %#lx: %s\n", domain, start, length,
	    enabled ? "enabled" : "disabled");
	if (!enabled)
		return (true);
	/* The first MiB is the firmware's and not in phys_avail, but no cause to complain. */
	if (start >= FIRST_MIB && !overlaps_phys_avail(start, start + length)) {
		printf("SRAT: Ignoring memory at addr %#lx\n", start);
		return (true);
	}
	for (int i = 0; i < num_mem; i++)
		if (mem_info[i].start < start + length && start < mem_info[i].end) {
			printf("SRAT: Overlapping memory entries\n");
			return (false);
		}
	if (num_mem == MEM_MAX) {
		printf("SRAT: Too many memory regions\n");
		return (false);
	}
	mem_info[num_mem++] = (struct mem_affinity) { start, start + length, domain };
	return (true);
}

static bool
srat_entry(const struct entry *entry)
{
	switch (entry->type) {
	case SRAT_CPU:
		/* The domain's low byte stands before the APIC id, the rest far behind. */
		return (srat_cpu(entry->body[1],
		    (int)(entry->body[0] | (read32(entry, 9) & 0xffffff) << 8), read32(entry, 4)));
	case SRAT_X2APIC:
		return (srat_cpu(read32(entry, 8), (int)read32(entry, 4), read32(entry, 12)));
	case SRAT_MEMORY:
		return (srat_memory(entry));
	default:
		return (true);
	}
}

static bool
has_cpu(int domain)
{
	for (int i = 0; i < mp_ncpus; i++)
		if (cpus[i].in_srat && cpus[i].domain == domain)
			return (true);
	return (false);
}

static bool
has_memory(int domain)
{
	for (int i = 0; i < num_mem; i++)
		if (mem_info[i].domain == domain)
			return (true);
	return (false);
}

/* A domain may be without memory, but not without CPUs. */
static bool
check_domains(void)
{
	for (int i = 0; i < num_mem; i++)
		if (!has_cpu(mem_info[i].domain)) {
			printf("SRAT: No CPU found for memory domain %d\n", mem_info[i].domain);
			return (false);
		}
	for (int i = 0; i < mp_ncpus; i++) {
		if (!cpus[i].in_srat) {
			printf("SRAT: CPU with APIC ID %u is not known\n", cpus[i].apic_id);
			return (false);
		}
		if (!has_memory(cpus[i].domain) && num_mem < MEM_MAX) {
			printf("SRAT: mem dom %d is empty\n", cpus[i].domain);
			mem_info[num_mem++].domain = cpus[i].domain;
		}
	}
	return (num_mem > 0);
}

/* All free memory must belong to some domain. */
static bool
check_phys_avail(void)
{
	for (int i = 0; i < phys_avail_count; i++) {
		vm_paddr_t at = phys_avail[i].start;

		for (int j = 0; j < num_mem && at < phys_avail[i].end; j++)
			if (mem_info[j].start <= at && at < mem_info[j].end) {
				at = mem_info[j].end;
				j = -1;		/* the next piece may be listed before */
			}
		if (at < phys_avail[i].end) {
			printf("SRAT: No memory region found for %#lx - %#lx\n", at,
			    phys_avail[i].end);
			return (false);
		}
	}
	return (true);
}

static int
domain_of_pxm(int pxm)
{
	for (int i = 0; i < vm_ndomains; i++)
		if (domain_pxm[i] == pxm)
			return (i);
	return (NO_DOMAIN);
}

/* Proximity domains may have any numbers; domains count from 0, in their order. */
static bool
renumber_domains(void)
{
	int count = 0;

	for (int i = 0; i < num_mem; i++) {
		int pxm = mem_info[i].domain, slot = count;

		vm_ndomains = count;
		if (domain_of_pxm(pxm) != NO_DOMAIN)
			continue;
		if (count == MAXMEMDOM) {
			printf("SRAT: Too many memory domains\n");
			return (false);
		}
		for (; slot > 0 && domain_pxm[slot - 1] > pxm; slot--)
			domain_pxm[slot] = domain_pxm[slot - 1];
		domain_pxm[slot] = pxm;
		count++;
	}
	vm_ndomains = count;
	for (int i = 0; i < num_mem; i++)
		mem_info[i].domain = domain_of_pxm(mem_info[i].domain);
	for (int i = 0; i < mp_ncpus; i++)
		cpus[i].domain = domain_of_pxm(cpus[i].domain);
	return (true);
}

/*
 * CPUs are numbered domain by domain, the first CPU's first: FreeBSD's topo_probe()
 * and assign_cpu_ids() (sys/x86/x86/mp_x86.c).
 */
static void
number_cpus(void)
{
	for (int first = 0, next; first < mp_ncpus; first = next) {
		next = first + 1;
		for (int i = next; i < mp_ncpus; i++) {
			struct cpu_info cpu = cpus[i];

			if (cpu.domain != cpus[first].domain)
				continue;
			for (int j = i; j > next; j--)
				cpus[j] = cpus[j - 1];
			cpus[next++] = cpu;
		}
	}
}

static void
one_domain(void)
{
	vm_ndomains = 1;
	num_mem = 1;
	mem_info[0] = (struct mem_affinity) { 0, UINT64_MAX, 0 };
	for (int i = 0; i < mp_ncpus; i++)
		cpus[i].domain = 0;
}

static void
parse_slit(const struct acpi_header *slit)
{
	uint64_t count = 0;

	if (vm_ndomains == 1 || slit == NULL || slit->length < SLIT_ENTRIES)
		return;
	memcpy(&count, (const char *)slit + SLIT_COUNT, sizeof(count));
	if (count > 255 || SLIT_ENTRIES + count * count > slit->length)
		return;
	for (int from = 0; from < vm_ndomains; from++)
		for (int to = 0; to < vm_ndomains; to++) {
			size_t row = (size_t)domain_pxm[from], column = (size_t)domain_pxm[to];
			uint8_t value;

			if (row >= count || column >= count)
				continue;
			value = ((const uint8_t *)slit)[SLIT_ENTRIES + row * count + column];
			if (value != 255)	/* 255: unknown */
				locality[from][to] = value;
		}
}

void
numa_init(void)
{
	const struct acpi_header *madt = acpi_find_table("APIC");
	const struct acpi_header *srat = acpi_find_table("SRAT");

	for (int from = 0; from < MAXMEMDOM; from++)
		for (int to = 0; to < MAXMEMDOM; to++)
			locality[from][to] = NO_LOCALITY;
	if (madt != NULL)
		walk(madt, MADT_ENTRIES, madt_entry);
	if (mp_ncpus == 0)
		mp_ncpus = 1;		/* the one that reads this */
	if (srat == NULL || !walk(srat, SRAT_ENTRIES, srat_entry) || !check_domains() ||
	    !check_phys_avail() || !renumber_domains())
		one_domain();
	else {
		number_cpus();
		parse_slit(acpi_find_table("SLIT"));
		for (int i = 0; i < mp_ncpus; i++)
			printf("SRAT: CPU %d has memory domain %d\n", i, cpus[i].domain);
	}
}

/* The distance by the SLIT; NO_LOCALITY where it does not say, or of one domain. */
int
vm_phys_lookup_locality(int from, int to)
{
	return (locality[from][to]);
}

/* The domain that a page lies in. */
int
vm_phys_domain(vm_paddr_t page)
{
	for (int i = 0; i < num_mem; i++)
		if (mem_info[i].start <= page && page < mem_info[i].end)
			return (mem_info[i].domain);
	panic("vm_phys_domain: %#lx lies in no domain", page);
}

void
numa_each_range(void (*add)(int domain, vm_paddr_t start, vm_paddr_t end))
{
	for (int i = 0; i < phys_avail_count; i++)
		for (int j = 0; j < num_mem; j++) {
			vm_paddr_t start = MAX(phys_avail[i].start, mem_info[j].start);
			vm_paddr_t end = MIN(phys_avail[i].end, mem_info[j].end);

			if (start < end)
				add(mem_info[j].domain, start, end);
		}
}
