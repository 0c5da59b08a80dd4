/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* ACPI tables: found from the root pointer, taken only with a good checksum. */

#include "acpi.h"
#include "boot.h"
#include "pmap.h"

#define TABLE_MAX	(1 << 20)	/* longer than any table read here */

struct acpi_rsdp {
	char		signature[8];
	uint8_t		checksum;
	char		oem_id[6];
	uint8_t		revision;
	uint32_t	rsdt;
	uint32_t	length;		/* from revision 2 on, as what follows */
	uint64_t	xsdt;
} __packed;

static bool
sums_to_zero(const void *bytes, size_t length)
{
	const uint8_t *byte = bytes;
	uint8_t sum = 0;

	while (length-- > 0)
		sum += *byte++;
	return (sum == 0);
}

static const struct acpi_header *
acpi_table_at(vm_paddr_t address)
{
	const struct acpi_header *table = dmap_pointer(address);

	if (address == 0 || !dmap_covers(address, TABLE_MAX) ||
	    table->length < sizeof(*table) || table->length > TABLE_MAX ||
	    !sums_to_zero(table, table->length))
		return (NULL);
	return (table);
}

/* The table of tables: XSDT where there is one, else RSDT. */
static const struct acpi_header *
acpi_root_table(size_t *entry_size)
{
	vm_paddr_t address = boot_rsdp();
	const struct acpi_rsdp *rsdp = dmap_pointer(address);
	const struct acpi_header *root;

	if (address == 0 || !dmap_covers(address, sizeof(*rsdp)) ||
	    memcmp(rsdp->signature, "RSD PTR ", sizeof(rsdp->signature)) != 0)
		return (NULL);
	*entry_size = sizeof(uint64_t);
	if (rsdp->revision >= 2 && (root = acpi_table_at(rsdp->xsdt)) != NULL)
		return (root);
	*entry_size = sizeof(uint32_t);
	return (acpi_table_at(rsdp->rsdt));
}

static const struct acpi_header *
acpi_match(vm_paddr_t address, const char signature[4])
{
	const struct acpi_header *table = acpi_table_at(address);

	return (table != NULL && memcmp(table->signature, signature, 4) == 0 ? table : NULL);
}

/* The DSDT stands in no list: the FADT points to it, at byte 40. */
static const struct acpi_header *
acpi_find_dsdt(void)
{
	const struct acpi_header *fadt = acpi_find_table("FACP");
	uint32_t address;

	if (fadt == NULL)
		return (NULL);
	memcpy(&address, (const char *)fadt + 40, sizeof(address));
	return (acpi_match(address, "DSDT"));
}

const struct acpi_header *
acpi_find_table(const char signature[4])
{
	const struct acpi_header *root, *table;
	size_t entry_size;

	if (memcmp(signature, "DSDT", 4) == 0)
		return (acpi_find_dsdt());
	if ((root = acpi_root_table(&entry_size)) == NULL)
		return (NULL);
	for (size_t at = sizeof(*root); at + entry_size <= root->length; at += entry_size) {
		vm_paddr_t address = 0;

		memcpy(&address, (const char *)root + at, entry_size);
		if ((table = acpi_match(address, signature)) != NULL)
			return (table);
	}
	return (NULL);
}
