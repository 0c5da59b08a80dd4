/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* ACPI tables as the guest's memory has them, through /dev/mem (ACPI 6.5, 5.2). */

#include "acpi.h"
#include "facts.h"
#include "libc.h"
#include "report.h"
#include "syscall.h"
#include "sysctl.h"

#define RSDP_SIZE	36
#define RSDP_SIZE_1	20	/* of ACPI 1.0, whose tables have addresses of 32 bits */
#define RSDP_REVISION	15
#define RSDP_RSDT	16
#define RSDP_XSDT	24
#define HEADER_SIZE	36
#define HEADER_LENGTH	4
#define PART		64	/* bytes of a table in one record */

static int64_t
memory(void)
{
	static int64_t fd = -1;

	if (fd < 0)
		fd = open("/dev/mem", O_RDONLY);
	return (fd);
}

static bool
read_physical(uint64_t address, void *buffer, size_t length)
{
	return (memory() >= 0 && syscall(SYS_pread, (uint64_t)memory(), (uintptr_t)buffer, length,
	    address, 0, 0) == (int64_t)length);
}

static bool
sums_to_zero(const unsigned char *byte, size_t length)
{
	unsigned char sum = 0;

	while (length-- > 0)
		sum += *byte++;
	return (sum == 0);
}

/* The length, or 0. */
static size_t
read_table(uint64_t address, unsigned char *table)
{
	uint32_t length;

	if (!read_physical(address, table, HEADER_SIZE))
		return (0);
	memcpy(&length, table + HEADER_LENGTH, sizeof(length));
	if (length < HEADER_SIZE || length > ACPI_TABLE_MAX ||
	    !read_physical(address, table, length) || !sums_to_zero(table, length))
		return (0);
	return (length);
}

/* The table of all others, and how long its addresses are: OVMF gives an XSDT, SeaBIOS an RSDT. */
static size_t
read_root(unsigned char *table, size_t *address_size)
{
	unsigned char rsdp[RSDP_SIZE] = {0};
	uint64_t root = sysctl_number("machdep.acpi_root", 0), address = 0;

	if (root == 0 || !read_physical(root, rsdp, RSDP_SIZE_1))
		return (0);
	if (rsdp[RSDP_REVISION] >= 2 && read_physical(root, rsdp, RSDP_SIZE))
		memcpy(&address, rsdp + RSDP_XSDT, sizeof(uint64_t));
	*address_size = sizeof(uint64_t);
	if (address == 0) {
		memcpy(&address, rsdp + RSDP_RSDT, sizeof(uint32_t));
		*address_size = sizeof(uint32_t);
	}
	return (read_table(address, table));
}

const unsigned char *
acpi_table(const char signature[4], size_t *length)
{
	static unsigned char root[ACPI_TABLE_MAX], table[ACPI_TABLE_MAX];
	static size_t root_length, address_size;

	if (root_length == 0)
		root_length = read_root(root, &address_size);
	for (size_t at = HEADER_SIZE; at + address_size <= root_length; at += address_size) {
		uint64_t address = 0;

		memcpy(&address, root + at, address_size);
		*length = read_table(address, table);
		if (*length != 0 && memcmp(table, signature, 4) == 0)
			return (table);
	}
	return (NULL);
}

static void
report_table(const char *signature)
{
	size_t length;
	const unsigned char *table = acpi_table(signature, &length);

	if (table == NULL)
		return;
	for (size_t at = 0; at < length; at += PART) {
		record("table");
		field_text("name", signature);
		field_number("part", (int64_t)(at / PART));
		field_number("parts", (int64_t)((length + PART - 1) / PART));
		field_bytes("hex", table + at, length - at < PART ? length - at : PART);
		record_done();
	}
}

void
report_tables(void)
{
	report_table("SRAT");
	report_table("SLIT");
}
