/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * From QEMU's -kernel to mi_startup().
 *
 * The note below marks the image as a PVH kernel: the firmware's PVH option
 * ROM enters phys_entry in 32-bit protected mode, paging off, with the
 * physical address of struct hvm_start_info in %ebx (Xen's
 * docs/misc/pvh.pandoc, public/arch-x86/hvm/start_info.h).
 */
#include "layout.h"

#define PG_V		0x001
#define PG_RW		0x002
#define PG_PS		0x080

#define CR0_PE_WP_PG	0x80010001
#define CR4_PAE		0x20
#define MSR_EFER	0xc0000080
#define EFER_LME	0x100

#define PML4_INDEX(va)	(((va) >> 39) & 511)
#define PDPT_INDEX(va)	(((va) >> 30) & 511)
#define PD_INDEX(va)	(((va) >> 21) & 511)
#define PA(symbol)	((symbol) - KERNBASE)

	.section .note.Xen, "a", @note
	.balign	4
	.long	4, 8, 18		/* name size, value size, PHYS32_ENTRY */
	.asciz	"Xen"
	.quad	PA(phys_entry)

	.section .text.entry, "ax"
	.code32
	.globl	phys_entry
	.type	phys_entry, @function
phys_entry:
	cli
	cld
	movl	%ebx, %edi		/* the first argument of mi_startup() */
	movl	$PA(gdt_pointer), %eax
	lgdt	(%eax)

	movl	%cr4, %eax
	orl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$PA(kernel_pml4), %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$CR0_PE_WP_PG, %eax
	movl	%eax, %cr0
	ljmpl	$KCODE_SEL, $PA(long_mode)

	.code64
long_mode:				/* still at its physical address */
	movabsq	$btext, %rax
	jmpq	*%rax
	.size	phys_entry, . - phys_entry

	.globl	btext
	.type	btext, @function
btext:
	movabsq	$gdt_pointer_high, %rax
	lgdt	(%rax)
	movw	$KDATA_SEL, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %fs
	movw	%ax, %gs
	movw	%ax, %ss
	movq	$0, kernel_pml4		/* low addresses fault from here on */
	movq	%cr3, %rax
	movq	%rax, %cr3
	movq	$boot_stack + BOOT_STACK_SIZE, %rsp
	xorl	%ebp, %ebp		/* a backtrace ends here */
	movl	%edi, %edi
	call	mi_startup
	hlt
	.size	btext, . - btext

	.data
	.balign	8
gdt:
	.quad	0, 0, 0, 0
	.quad	0x00af9b000000ffff	/* KCODE_SEL: 64-bit code */
	.quad	0x00cf93000000ffff	/* KDATA_SEL */
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	PA(gdt)
gdt_pointer_high:
	.word	gdt_end - gdt - 1
	.quad	gdt

/*
 * The first page tables: the first GiB at 0 (until btext), at KERNBASE and in
 * the direct map, which pmap_bootstrap() then widens; the window of kernel
 * virtual addresses, empty; and the shadow of the sanitizer.
 */
	.balign	PAGE_SIZE
	.globl	kernel_pml4
kernel_pml4:
	.quad	PA(low_pdpt) + PG_V + PG_RW
	.fill	PML4_INDEX(KASAN_SHADOW_KVA) - 1, 8, 0
#ifdef KASAN
	.quad	PA(shadow_pdpt) + PG_V + PG_RW
#else
	.quad	0
#endif
	.quad	PA(dmap_pdpt) + PG_V + PG_RW
	.fill	PML4_INDEX(VM_MIN_KERNEL_ADDRESS) - PML4_INDEX(DMAP_MIN_ADDRESS) - 1, 8, 0
	.quad	PA(kva_pdpt) + PG_V + PG_RW
	.fill	511 - PML4_INDEX(VM_MIN_KERNEL_ADDRESS) - 1, 8, 0
	.quad	PA(kern_pdpt) + PG_V + PG_RW

	.globl	dmap_pdpt
low_pdpt:
dmap_pdpt:
	.quad	PA(first_gib_pd) + PG_V + PG_RW
	.fill	511, 8, 0

kern_pdpt:
	.fill	PDPT_INDEX(KERNBASE), 8, 0
	.quad	PA(first_gib_pd) + PG_V + PG_RW
	.quad	0

first_gib_pd:
	.set	pa, 0
	.rept	512
	.quad	pa + PG_V + PG_RW + PG_PS
	.set	pa, pa + PAGE_SIZE_2M
	.endr

kva_pdpt:
	.quad	PA(kva_pd) + PG_V + PG_RW
	.fill	511, 8, 0
kva_pd:
	.set	table, 0
	.rept	KVA_SIZE / PAGE_SIZE_2M
	.quad	PA(kva_ptes) + table + PG_V + PG_RW
	.set	table, table + PAGE_SIZE
	.endr
	.fill	512 - KVA_SIZE / PAGE_SIZE_2M, 8, 0

#ifdef KASAN
shadow_pdpt:
	.quad	PA(shadow_kva_pd) + PG_V + PG_RW
	.fill	PDPT_INDEX(KASAN_SHADOW_KERN) - 1, 8, 0
	.quad	PA(shadow_kern_pd) + PG_V + PG_RW
	.fill	511 - PDPT_INDEX(KASAN_SHADOW_KERN), 8, 0
shadow_kva_pd:
	.quad	PA(shadow_kva_ptes) + PG_V + PG_RW
	.fill	511, 8, 0
shadow_kern_pd:
	.fill	PD_INDEX(KASAN_SHADOW_KERN), 8, 0
	.quad	PA(shadow_kern_ptes) + PG_V + PG_RW
	.fill	511 - PD_INDEX(KASAN_SHADOW_KERN), 8, 0

	.macro	shadow_pages first, count
	.set	page, 0
	.rept	\count
	.quad	PA(\first) + page + PG_V + PG_RW
	.set	page, page + PAGE_SIZE
	.endr
	.fill	512 - \count, 8, 0
	.endm
shadow_kva_ptes:
	shadow_pages shadow_kva, KVA_SIZE / 8 / PAGE_SIZE
shadow_kern_ptes:
	shadow_pages shadow_kern, KERNEL_IMAGE_MAX / 8 / PAGE_SIZE

	.section .shadow, "aw", @nobits
	.balign	PAGE_SIZE
shadow_kva:
	.skip	KVA_SIZE / 8
shadow_kern:
	.skip	KERNEL_IMAGE_MAX / 8
#endif

	.bss
	.balign	PAGE_SIZE
	.globl	kva_ptes
kva_ptes:
	.skip	KVA_SIZE / PAGE_SIZE_2M * PAGE_SIZE
boot_stack:
	.skip	BOOT_STACK_SIZE

	.section .note.GNU-stack, "", @progbits
