/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * Power-off by ACPI: the sleep type of S5 is a package in the DSDT, which is
 * searched for by its bytes, because there is no AML interpreter here.
 */

#include "acpi.h"
#include "cpu.h"

/* Offsets in the FADT (ACPI 6.5, table 5.9). */
#define FADT_SMI_CMD	48
#define FADT_ACPI_ENABLE 52
#define FADT_PM1A_CNT	64
#define FADT_PM1B_CNT	68

#define PM1_SCI_EN	0x0001
#define PM1_SLP_EN	0x2000
#define PM1_SLP_TYP(t)	((uint16_t)(((t) & 7) << 10))

/* AML (ACPI 6.5, 20.3). */
#define AML_PACKAGE	0x12
#define AML_BYTE_PREFIX	0x0a

static uint32_t
field(const struct acpi_header *fadt, size_t offset, size_t size)
{
	uint32_t value = 0;

	if (offset + size <= fadt->length)
		memcpy(&value, (const char *)fadt + offset, size);
	return (value);
}

/* An element of a package: 0 and 1 are operators of their own. */
static uint8_t
aml_integer(const uint8_t **at)
{
	uint8_t value = *(*at)++;

	return (value == AML_BYTE_PREFIX ? *(*at)++ : value);
}

static bool
s5_sleep_types(uint8_t *a, uint8_t *b)
{
	const struct acpi_header *dsdt = acpi_find_table("DSDT");
	const uint8_t *bytes = (const uint8_t *)dsdt;

	if (dsdt == NULL)
		return (false);
	for (size_t i = sizeof(*dsdt); i + 12 < dsdt->length; i++) {
		const uint8_t *at = bytes + i + 4;

		if (memcmp(bytes + i, "_S5_", 4) != 0 || *at != AML_PACKAGE)
			continue;
		at += 1 + 1 + (at[1] >> 6);	/* the operator and the package's length */
		at++;				/* the number of elements */
		*a = aml_integer(&at);
		*b = aml_integer(&at);
		return (true);
	}
	return (false);
}

static void
enable_acpi(const struct acpi_header *fadt, uint16_t control)
{
	uint16_t command = (uint16_t)field(fadt, FADT_SMI_CMD, 4);

	if (command != 0 && (inw(control) & PM1_SCI_EN) == 0)
		outb(command, (uint8_t)field(fadt, FADT_ACPI_ENABLE, 1));
}

/* Returns only when it did not work. */
void
acpi_poweroff(void)
{
	const struct acpi_header *fadt = acpi_find_table("FACP");
	uint16_t control_a, control_b;
	uint8_t type_a, type_b;

	if (fadt == NULL || !s5_sleep_types(&type_a, &type_b))
		return;
	control_a = (uint16_t)field(fadt, FADT_PM1A_CNT, 4);
	control_b = (uint16_t)field(fadt, FADT_PM1B_CNT, 4);
	if (control_a == 0)
		return;
	enable_acpi(fadt, control_a);
	outw(control_a, PM1_SLP_TYP(type_a) | PM1_SLP_EN);
	if (control_b != 0)
		outw(control_b, PM1_SLP_TYP(type_b) | PM1_SLP_EN);
}
