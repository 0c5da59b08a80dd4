/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef ACPI_H
#define ACPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACPI_TABLE_MAX	(64 * 1024)

/* A table with a good checksum, copied out of physical memory; NULL if there is none. */
const unsigned char *acpi_table(const char signature[4], size_t *length);

#endif
