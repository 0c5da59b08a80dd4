/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef CRC32_H
#define CRC32_H

/*
 * CRC-32 as of IEEE 802.3, which zlib computes too, bit by bit: lines are
 * short.  Who includes this has uint32_t and size_t already, each guest from
 * headers of its own.
 */
static inline uint32_t
probe_crc32(const char *text, size_t length)
{
	uint32_t crc = 0xffffffff;

	while (length-- > 0) {
		crc ^= (uint8_t)*text++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320 : 0);
	}
	return (~crc);
}

#endif
