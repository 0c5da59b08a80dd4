/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef REPORT_H
#define REPORT_H

/*
 * The probe report: lines of the form
 *
 *	@harness NONCE NNNN name key=value key=value *CCCCCCCC
 *
 * with the nonce of this boot, a sequence number and the CRC-32 of what stands
 * between "@harness " and " *".  Values are percent-encoded.
 * harness/console/probe.py reads them.
 */

#include <stddef.h>
#include <stdint.h>

#define NONCE_SIZE	17	/* 16 hexadecimal digits and a NUL */

/* Call before the first record: the nonce identifies this boot's report; empty for none. */
void	report_begin(const char *nonce);

void	record(const char *name);
void	field_number(const char *key, int64_t value);
void	field_text(const char *key, const char *value);
void	field_bytes(const char *key, const void *bytes, size_t length);
void	record_done(void);

/*
 * What a subsystem adds to the report (harness/subsystems/NAME/c/init): a function
 * of the number of domains.
 */
typedef void reporter(int domains);

#define REPORTER(function)						\
	static reporter *const reporter_##function			\
	    __attribute__((used, section("set_reporters"))) = function

/* With the final record, which counts them all. */
void	report_end(void);

/* What kernel messages spoil in one copy, the other one has. */
void	report_print(int64_t console, int copies);

#endif
