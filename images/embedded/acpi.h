/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef ACPI_H
#define ACPI_H

#include "kernel.h"

/* ACPI 6.5, 5.2.6: the head of every table. */
struct acpi_header {
	char		signature[4];
	uint32_t	length;
	uint8_t		revision;
	uint8_t		checksum;
	char		oem_id[6];
	char		oem_table_id[8];
	uint32_t	oem_revision;
	uint32_t	creator_id;
	uint32_t	creator_revision;
} __packed;

const struct acpi_header *acpi_find_table(const char signature[4]);
void	acpi_poweroff(void);

#endif
