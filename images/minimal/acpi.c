/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/* ACPI tables as the guest's memory has them, through /dev/mem (ACPI 6.5, 5.2). */

#include "acpi.h"
#include "facts.h"
#include "report.h"
#include "syscall.h"
#include "sysctl.h"
#include "text.h"

#define RSDP_SIZE	36
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

static size_t
read_xsdt(unsigned char *table)
{
	unsigned char rsdp[RSDP_SIZE];
	uint64_t root = sysctl_number("machdep.acpi_root", 0), xsdt;

	if (root == 0 || !read_physical(root, rsdp, sizeof(rsdp)))
		return (0);
	memcpy(&xsdt, rsdp + RSDP_XSDT, sizeof(xsdt));
	return (read_table(xsdt, table));
}

const unsigned char *
acpi_table(const char signature[4], size_t *length)
{
	static unsigned char xsdt[ACPI_TABLE_MAX], table[ACPI_TABLE_MAX];
	static size_t xsdt_length;
	uint64_t address;

	if (xsdt_length == 0)
		xsdt_length = read_xsdt(xsdt);
	for (size_t at = HEADER_SIZE; at + sizeof(address) <= xsdt_length; at += sizeof(address)) {
		memcpy(&address, xsdt + at, sizeof(address));
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
