/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * PVH start information (Xen's public/arch-x86/hvm/start_info.h): the memory
 * map, the command line and the ACPI root pointer.
 */

#include "boot.h"

#define START_MAGIC	0x336ec578
#define MEMMAP_RAM	1
#define LOW_MEMORY_END	0x100000	/* the firmware's; the start info lies there, too */
#define COMMAND_LINE_MAX 1024

struct hvm_start_info {
	uint32_t	magic;
	uint32_t	version;
	uint32_t	flags;
	uint32_t	nr_modules;
	uint64_t	modlist_paddr;
	uint64_t	cmdline_paddr;
	uint64_t	rsdp_paddr;
	uint64_t	memmap_paddr;
	uint32_t	memmap_entries;
	uint32_t	reserved;
};

struct hvm_memmap_entry {
	uint64_t	address;
	uint64_t	size;
	uint32_t	type;
	uint32_t	reserved;
};

extern const char kernel_start[], kernel_end[];

struct phys_range phys_avail[PHYS_AVAIL_MAX];
int phys_avail_count;

static char command_line[COMMAND_LINE_MAX];
static vm_paddr_t rsdp;

/* All of it lies in the first GiB, which entry.S has mapped. */
static const void *
boot_pointer(vm_paddr_t address)
{
	return ((const void *)(DMAP_MIN_ADDRESS + address));
}

static void
phys_avail_add(vm_paddr_t start, vm_paddr_t end)
{
	start = roundup2(MAX(start, LOW_MEMORY_END), PAGE_SIZE);
	end = rounddown2(end, PAGE_SIZE);
	if (start >= end)
		return;
	if (phys_avail_count == PHYS_AVAIL_MAX) {
		printf("memory map: too many ranges, %#lx-%#lx left out\n", start, end);
		return;
	}
	phys_avail[phys_avail_count++] = (struct phys_range) { start, end };
}

/* The pages of the image itself are in the map as ordinary RAM. */
static void
phys_avail_add_around_kernel(vm_paddr_t start, vm_paddr_t end)
{
	vm_paddr_t image_start = (uintptr_t)kernel_start - KERNBASE;
	vm_paddr_t image_end = (uintptr_t)kernel_end - KERNBASE;

	if (end <= image_start || start >= image_end) {
		phys_avail_add(start, end);
		return;
	}
	phys_avail_add(start, MIN(end, image_start));
	phys_avail_add(MAX(start, image_end), end);
}

void
boot_read(vm_paddr_t start_info)
{
	const struct hvm_start_info *info = boot_pointer(start_info);
	const struct hvm_memmap_entry *entries;

	if (info->magic != START_MAGIC || info->version < 1)
		panic("boot: no PVH start information with a memory map at %#lx", start_info);
	rsdp = info->rsdp_paddr;
	if (info->cmdline_paddr != 0)
		snprintf(command_line, sizeof(command_line), "%s",
		    (const char *)boot_pointer(info->cmdline_paddr));
	entries = boot_pointer(info->memmap_paddr);
	for (uint32_t i = 0; i < info->memmap_entries; i++)
		if (entries[i].type == MEMMAP_RAM)
			phys_avail_add_around_kernel(entries[i].address,
			    entries[i].address + entries[i].size);
}

vm_paddr_t
boot_rsdp(void)
{
	return (rsdp);
}

bool
tunable_string(const char *name, char *value, size_t size)
{
	size_t length = strlen(name), used = 0;

	for (const char *at = command_line; *at != '\0'; at++) {
		if ((at != command_line && at[-1] != ' ') ||
		    strncmp(at, name, length) != 0 || at[length] != '=')
			continue;
		for (at += length + 1; *at != '\0' && *at != ' ' && used + 1 < size; at++)
			value[used++] = *at;
		value[used] = '\0';
		return (true);
	}
	return (false);
}

/* A decimal number; other values are reported, and the default is kept. */
bool
tunable_int(const char *name, int *value)
{
	char text[16];
	int number = 0;

	if (!tunable_string(name, text, sizeof(text)))
		return (false);
	for (const char *digit = text; *digit != '\0' || digit == text; digit++) {
		if (*digit < '0' || *digit > '9' || number > 99999999) {
			printf("%s=%s: not a number, ignored\n", name, text);
			return (false);
		}
		number = number * 10 + (*digit - '0');
	}
	*value = number;
	return (true);
}
