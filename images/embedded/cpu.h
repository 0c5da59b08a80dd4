/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef CPU_H
#define CPU_H

/* The instructions C has no words for. */

#include <stdint.h>

static inline void
outb(uint16_t port, uint8_t value)
{
	__asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void
outw(uint16_t port, uint16_t value)
{
	__asm volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t
inb(uint16_t port)
{
	uint8_t value;

	__asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return (value);
}

static inline uint16_t
inw(uint16_t port)
{
	uint16_t value;

	__asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return (value);
}

static inline uint64_t
rcr2(void)
{
	uint64_t value;

	__asm volatile("movq %%cr2, %0" : "=r"(value));
	return (value);
}

static inline void
flush_tlb(void)
{
	uint64_t root;

	__asm volatile("movq %%cr3, %0; movq %0, %%cr3" : "=r"(root) : : "memory");
}

static inline void
invlpg(const void *address)
{
	__asm volatile("invlpg %0" : : "m"(*(const char *)address) : "memory");
}

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

static inline void
lidt(const struct table_pointer *pointer)
{
	__asm volatile("lidt %0" : : "m"(*pointer));
}

static inline void
cpuid(uint32_t leaf, uint32_t registers[4])
{
	__asm volatile("cpuid"
	    : "=a"(registers[0]), "=b"(registers[1]), "=c"(registers[2]), "=d"(registers[3])
	    : "a"(leaf), "c"(0));
}

#endif
