/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The kernel address sanitizer: what clang's -fsanitize=kernel-address calls
 * before each access.  One shadow byte speaks for eight bytes: 0, all may be
 * used; 1 to 7, so many of them; above, none, and why.  Reports read as those
 * of FreeBSD's sys/kern/subr_asan.c.  Only the image and the window of kernel
 * virtual addresses have a shadow; the direct map has none, as on FreeBSD.
 */

#include "kasan.h"

#ifdef KASAN

/* This file works on the shadow itself and must not be checked against it. */
#pragma clang attribute push(__attribute__((no_sanitize("kernel-address"))), apply_to = function)

#define SHADOW_MASK	(KASAN_SHADOW_SCALE - 1)

/* A global variable and its redzone, as clang's module constructors give it. */
struct asan_global {
	const void	*begin;
	size_t		 size;
	size_t		 size_with_redzone;
	const void	*name;
	const void	*module;
	unsigned long	 has_dynamic_init;
	const void	*location;
	uintptr_t	 odr_indicator;
};

typedef void constructor_t(void);
extern constructor_t *const init_array_start[], *const init_array_end[];

static bool kasan_enabled;

static uint8_t *
shadow_of(uintptr_t address)
{
	return ((uint8_t *)((address >> 3) + KASAN_SHADOW_OFFSET));
}

static bool
has_shadow(uintptr_t address)
{
	return (address - KERNBASE < KERNEL_IMAGE_MAX ||
	    address - VM_MIN_KERNEL_ADDRESS < KVA_SIZE);
}

static const char *
kasan_code_name(uint8_t code)
{
	switch (code) {
	case 1 ... 7:
		return ("RedZonePartial");
	case KASAN_STACK_LEFT:
		return ("StackLeft");
	case KASAN_STACK_MID:
		return ("StackMiddle");
	case KASAN_STACK_RIGHT:
		return ("StackRight");
	case KASAN_USE_AFTER_SCOPE:
		return ("UseAfterScope");
	case KASAN_GENERIC_REDZONE:
		return ("GenericRedZone");
	case KASAN_KMEM_REDZONE:
		return ("KmemRedZone");
	case KASAN_UMA_FREED:
		return ("UMAUseAfterFree");
	default:
		return ("Unknown");
	}
}

/* Runs the constructors, which register the globals, and begins to check. */
void
kasan_init(void)
{
	for (constructor_t *const *constructor = init_array_start; constructor < init_array_end;
	    constructor++)
		(*constructor)();
	kasan_enabled = true;
}

/* Of `size' bytes at `address' the first `valid' may be used, the rest not. */
void
kasan_mark(const void *address, size_t valid, size_t size, uint8_t code)
{
	uint8_t *shadow = shadow_of((uintptr_t)address);
	size_t done;

	for (done = 0; done + KASAN_SHADOW_SCALE <= valid; done += KASAN_SHADOW_SCALE)
		*shadow++ = 0;
	if (done < valid) {
		*shadow++ = (uint8_t)(valid - done);
		done += KASAN_SHADOW_SCALE;
	}
	for (; done < size; done += KASAN_SHADOW_SCALE)
		*shadow++ = code;
}

static __noinline void
kasan_report(uintptr_t address, size_t size, bool write, uint8_t code)
{
	kasan_enabled = false;
	panic("ASan: Invalid access, %zu-byte %s at %#lx, %s(%x)", size,
	    write ? "write" : "read", address, kasan_code_name(code), code);
}

static inline void
kasan_shadow_check(uintptr_t address, size_t size, bool write)
{
	if (!kasan_enabled || panicked || !has_shadow(address))
		return;
	for (uintptr_t byte = address; byte < address + size; byte++) {
		uint8_t code = *shadow_of(byte);

		if (code != 0 && (code >= KASAN_SHADOW_SCALE || (byte & SHADOW_MASK) >= code))
			kasan_report(address, size, write, code);
	}
}

void
kasan_check_range(const void *address, size_t size, bool write)
{
	kasan_shadow_check((uintptr_t)address, size, write);
}

/* The compiler's names from here on. */
#define DEFINE_CHECKS(size)						\
void __asan_load##size##_noabort(uintptr_t);				\
void __asan_store##size##_noabort(uintptr_t);				\
void									\
__asan_load##size##_noabort(uintptr_t address)				\
{									\
	kasan_shadow_check(address, size, false);			\
}									\
void									\
__asan_store##size##_noabort(uintptr_t address)				\
{									\
	kasan_shadow_check(address, size, true);			\
}

DEFINE_CHECKS(1)
DEFINE_CHECKS(2)
DEFINE_CHECKS(4)
DEFINE_CHECKS(8)
DEFINE_CHECKS(16)

void	__asan_loadN_noabort(uintptr_t, size_t);
void	__asan_storeN_noabort(uintptr_t, size_t);
void	__asan_handle_no_return(void);
void	__asan_register_globals(struct asan_global *, size_t);
void	__asan_unregister_globals(struct asan_global *, size_t);
void	__asan_set_shadow_00(uintptr_t, size_t);
void	__asan_set_shadow_f1(uintptr_t, size_t);
void	__asan_set_shadow_f2(uintptr_t, size_t);
void	__asan_set_shadow_f3(uintptr_t, size_t);
void	__asan_set_shadow_f8(uintptr_t, size_t);

void
__asan_loadN_noabort(uintptr_t address, size_t size)
{
	kasan_shadow_check(address, size, false);
}

void
__asan_storeN_noabort(uintptr_t address, size_t size)
{
	kasan_shadow_check(address, size, true);
}

/* Functions that do not return panic, after which nothing is checked. */
void
__asan_handle_no_return(void)
{
}

void
__asan_register_globals(struct asan_global *globals, size_t count)
{
	for (size_t i = 0; i < count; i++)
		kasan_mark(globals[i].begin, globals[i].size, globals[i].size_with_redzone,
		    KASAN_GENERIC_REDZONE);
}

void
__asan_unregister_globals(struct asan_global *globals, size_t count)
{
	(void)globals, (void)count;	/* at exit of a module; the kernel has none */
}

/* Marks the redzones around variables on the stack: sizes of shadow, not memory. */
#define DEFINE_SET_SHADOW(code)						\
void									\
__asan_set_shadow_##code(uintptr_t shadow, size_t size)			\
{									\
	for (size_t i = 0; i < size; i++)				\
		((uint8_t *)shadow)[i] = 0x##code;			\
}

DEFINE_SET_SHADOW(00)
DEFINE_SET_SHADOW(f1)
DEFINE_SET_SHADOW(f2)
DEFINE_SET_SHADOW(f3)
DEFINE_SET_SHADOW(f8)

#pragma clang attribute pop

#endif
