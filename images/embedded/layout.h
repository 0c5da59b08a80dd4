/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
#ifndef LAYOUT_H
#define LAYOUT_H

/*
 * Where things lie in the virtual address space.  Plain numbers only: entry.S
 * and kernel.ld read this file too.  The bases are those of FreeBSD/amd64, so
 * that addresses on the console look as a reader expects them to.
 */
#define PAGE_SIZE		4096
#define PAGE_SHIFT		12
#define PAGE_SIZE_2M		0x200000

#define KERNBASE		0xffffffff80000000	/* physical 0, for the image */
#define KERNLOAD		0x200000		/* physical start of the image */
#define KERNEL_IMAGE_MAX	0x600000		/* the image ends below this */

#define DMAP_MIN_ADDRESS	0xfffff80000000000	/* all physical memory */
#define VM_MIN_KERNEL_ADDRESS	0xfffffe0000000000	/* slabs are mapped here */
#define KVA_SIZE		0xa00000		/* ... in 10 MiB */

/* Shadow byte of address A: (A >> 3) + KASAN_SHADOW_OFFSET. */
#define KASAN_SHADOW_OFFSET	0xdffff7c000000000
#define KASAN_SHADOW_KVA	0xfffff78000000000	/* of VM_MIN_KERNEL_ADDRESS */
#define KASAN_SHADOW_KERN	0xfffff7bff0000000	/* of KERNBASE */

#define KCODE_SEL		0x20
#define KDATA_SEL		0x28

#define BOOT_STACK_SIZE		0x8000

#endif
