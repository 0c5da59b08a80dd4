/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Page tables: the direct map of all physical memory, in pages of 1 GiB (of
 * 2 MiB where the CPU has none), and a window of 4 KiB pages for slabs.  No
 * memory is touched for being mapped.
 */

#include "boot.h"
#include "cpu.h"
#include "kasan.h"
#include "pmap.h"

#define PG_V		0x001
#define PG_RW		0x002
#define PG_PS		0x080

#define CPUID_EXTENDED	0x80000001
#define CPUID_PAGE1GB	0x04000000	/* in %edx */

#define GIB		(1UL << 30)
#define TABLE_ENTRIES	512
#define FIRMWARE_GIBS	4	/* ACPI tables lie below 4 GiB, in RAM or above it */
#define SMALL_MAP_GIBS	16	/* without pages of 1 GiB: as far as these reach */

extern uint64_t dmap_pdpt[TABLE_ENTRIES];
extern uint64_t kva_ptes[KVA_SIZE / PAGE_SIZE];

static uint64_t small_pds[SMALL_MAP_GIBS][TABLE_ENTRIES] __attribute__((aligned(PAGE_SIZE)));
static vm_paddr_t dmap_end = GIB;
static size_t kva_next;		/* where to look for a free address first */

static bool
cpu_has_gib_pages(void)
{
	uint32_t registers[4];

	cpuid(0x80000000, registers);
	if (registers[0] < CPUID_EXTENDED)
		return (false);
	cpuid(CPUID_EXTENDED, registers);
	return ((registers[3] & CPUID_PAGE1GB) != 0);
}

static uint64_t
small_pages_of_gib(size_t gib)
{
	uint64_t *pd = small_pds[gib];

	for (size_t i = 0; i < TABLE_ENTRIES; i++)
		pd[i] = (gib * GIB + i * PAGE_SIZE_2M) | PG_V | PG_RW | PG_PS;
	return (((uintptr_t)pd - KERNBASE) | PG_V | PG_RW);
}

/* Memory above the direct map's end is not used. */
static void
drop_memory_above(vm_paddr_t limit)
{
	while (phys_avail_count > 0 && phys_avail[phys_avail_count - 1].end > limit) {
		struct phys_range *last = &phys_avail[phys_avail_count - 1];

		printf("pmap: memory above %#lx is not mapped\n", limit);
		last->end = limit;
		if (last->start < limit)
			return;
		phys_avail_count--;
	}
}

void
pmap_bootstrap(void)
{
	bool large = cpu_has_gib_pages();
	size_t limit = large ? TABLE_ENTRIES : SMALL_MAP_GIBS;
	size_t gibs = FIRMWARE_GIBS;

	for (int i = 0; i < phys_avail_count; i++)
		gibs = MAX(gibs, howmany(phys_avail[i].end, GIB));
	if (gibs > limit) {
		gibs = limit;
		drop_memory_above(limit * GIB);
	}
	for (size_t gib = 1; gib < gibs; gib++)
		dmap_pdpt[gib] = large ? (gib * GIB) | PG_V | PG_RW | PG_PS :
		    small_pages_of_gib(gib);
	dmap_end = gibs * GIB;
	flush_tlb();
	kasan_mark((const void *)VM_MIN_KERNEL_ADDRESS, 0, KVA_SIZE, KASAN_KMEM_REDZONE);
}

bool
dmap_covers(vm_paddr_t start, size_t size)
{
	return (start < dmap_end && size <= dmap_end - start);
}

static uint64_t *
pte_of(const void *mapped)
{
	return (&kva_ptes[((uintptr_t)mapped - VM_MIN_KERNEL_ADDRESS) / PAGE_SIZE]);
}

/*
 * Maps one page at the next free kernel virtual address; NULL: none is left.
 * An address comes again as late as may be, so that a stale pointer is caught.
 */
void *
pmap_map(vm_paddr_t page)
{
	for (size_t tries = 0; tries < nitems(kva_ptes); tries++) {
		void *mapped = (void *)(VM_MIN_KERNEL_ADDRESS + kva_next * PAGE_SIZE);

		kva_next = (kva_next + 1) % nitems(kva_ptes);
		if (*pte_of(mapped) == 0) {
			*pte_of(mapped) = page | PG_V | PG_RW;
			kasan_mark(mapped, PAGE_SIZE, PAGE_SIZE, 0);
			return (mapped);
		}
	}
	return (NULL);
}

/* Returns the page that was mapped there. */
vm_paddr_t
pmap_unmap(void *mapped)
{
	vm_paddr_t page = pmap_kextract(mapped);

	*pte_of(mapped) = 0;
	invlpg(mapped);
	kasan_mark(mapped, 0, PAGE_SIZE, KASAN_KMEM_REDZONE);
	return (page);
}

/* The page that holds what lies at this address of the window. */
vm_paddr_t
pmap_kextract(const void *mapped)
{
	return (rounddown2(*pte_of(mapped), PAGE_SIZE));
}

/* Where the next page will be mapped, as long as none has been unmapped. */
vm_offset_t
kva_in_use(void)
{
	return (VM_MIN_KERNEL_ADDRESS + kva_next * PAGE_SIZE);
}
