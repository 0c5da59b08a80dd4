/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef CRC32_H
#define CRC32_H

/*
 * CRC-32 as of IEEE 802.3, which zlib computes too, by half bytes: a host
 * program has millions of lines.  Who includes this has uint32_t and size_t
 * already, each guest from headers of its own.
 */

/* On from the CRC of what came before the text. */
static inline uint32_t
probe_crc32_on(uint32_t crc, const char *text, size_t length)
{
	static const uint32_t table[16] = { 0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
	    0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344,
	    0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c };

	for (crc = ~crc; length-- > 0; text++) {
		crc ^= (uint8_t)*text;
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return (~crc);
}

static inline uint32_t
probe_crc32(const char *text, size_t length)
{
	return (probe_crc32_on(0, text, length));
}

#endif
