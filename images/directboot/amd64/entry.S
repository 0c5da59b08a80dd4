/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * From QEMU's -kernel to FreeBSD's btext, in place of a loader.
 *
 * All that is loaded lies where it belongs already: harness/image/direct.py has
 * laid it out, and filled in the handoff below. What is known in the guest only
 * is its memory map. The firmware's PVH option ROM enters start in 32-bit
 * protected mode, paging off, with the physical address of struct
 * hvm_start_info in %ebx (Xen's public/arch-x86/hvm/start_info.h).
 *
 * The rest is what the BIOS loader does last (stand/i386/libi386/amd64_tramp.S,
 * elf64_freebsd.c), but for the page tables.
 */
#define START_INFO_MAGIC	0x336ec578
#define START_INFO_MAGIC_AT	0
#define START_INFO_VERSION_AT	4	/* 1 and later have a memory map */
#define START_INFO_MEMMAP_AT	40
#define START_INFO_ENTRIES_AT	48
#define SMAP_ENTRY_WORDS	5	/* base, length, type: the first 20 of 24 bytes */

#define PG_V		0x001
#define PG_RW		0x002
#define PG_PS		0x080
#define PAGE_SIZE	4096
#define PAGE_SIZE_2M	0x200000
#define KERNBASE_PDP	510		/* of the last 512 GiB: 0xffffffff80000000 */

#define CR0_PG		0x80000000
#define CR4_PAE		0x20
#define MSR_EFER	0xc0000080
#define EFER_LME	0x100

#define COM1		0x3f8
#define COM1_LSR	(COM1 + 5)
#define LSR_THRE	0x20

#define RESET_CONTROL	0xcf9		/* of the ICH9 chipset */
#define RESET		0x06

#define CODE_SEL	0x08
#define DATA_SEL	0x10

/* In the order of struct handoff of harness/image/direct.py. */
	.section .handoff, "aw"
kernel_entry:	.quad	0
modulep:	.long	0
kernend:	.long	0
smap:		.long	0	/* where the memory map is expected, all zeros */
smap_slots:	.long	0	/* how many entries it has room for */
last_words:	.skip	48	/* what the loader would say last */

	.text
	.code32
	.globl	start
start:
	cli
	cld
	movl	$stack_top, %esp
	cmpl	$START_INFO_MAGIC, START_INFO_MAGIC_AT(%ebx)
	jne	no_map
	cmpl	$0, START_INFO_VERSION_AT(%ebx)
	je	no_map
	movl	START_INFO_MEMMAP_AT(%ebx), %esi
	movl	START_INFO_ENTRIES_AT(%ebx), %edx
	testl	%edx, %edx
	jz	no_map
	cmpl	smap_slots, %edx
	ja	no_map
	movl	smap, %edi
1:	movl	$SMAP_ENTRY_WORDS, %ecx
	rep	movsl
	addl	$4, %esi		/* hvm_memmap_table_entry is padded */
	decl	%edx
	jnz	1b
	movl	$last_words, %esi
	call	print

	lgdt	gdt_pointer
	movl	%cr4, %eax
	orl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$CR0_PG, %eax
	movl	%eax, %cr0
	ljmpl	$CODE_SEL, $long_mode

	.code64
long_mode:
	movw	$DATA_SEL, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	/* 4(%rsp) is modulep and 8(%rsp) kernend: sys/amd64/amd64/locore.S */
	subq	$12, %rsp
	movl	modulep(%rip), %eax
	movl	%eax, 4(%rsp)
	movl	kernend(%rip), %eax
	movl	%eax, 8(%rsp)
	jmpq	*kernel_entry(%rip)

	.code32
no_map:
	movl	$no_map_text, %esi
	call	print
	movb	$RESET, %al
	movw	$RESET_CONTROL, %dx
	outb	%al, %dx
1:	hlt
	jmp	1b

/* The string at %esi, on the console. */
print:
1:	movw	$COM1_LSR, %dx
	inb	%dx, %al
	testb	$LSR_THRE, %al
	jz	1b
	lodsb
	testb	%al, %al
	jz	2f
	movw	$COM1, %dx
	outb	%al, %dx
	jmp	1b
2:	ret

	.section .rodata
no_map_text:
	.asciz	"directboot: the firmware gave no memory map\r\n"
	.balign	8
gdt:
	.quad	0
	.quad	0x00209b0000000000	/* CODE_SEL: 64-bit code */
	.quad	0x0000930000000000	/* DATA_SEL */
gdt_end:
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt

/*
 * The page tables: the first 4 GiB at 0, the first 2 GiB at KERNBASE, and at
 * every other address one page of no use. A kernel with a sanitizer writes to
 * its shadow before it has tables of its own (hammer_time()'s prologue); a
 * loader's tables let such writes fall into memory that may be in use.
 */
	.macro	same_table table
	.rept	512
	.quad	\table + PG_V + PG_RW
	.endr
	.endm

	.data
	.balign	PAGE_SIZE
pml4:
	.quad	low_pdp + PG_V + PG_RW
	.rept	510
	.quad	sink_pdp + PG_V + PG_RW
	.endr
	.quad	kernel_pdp + PG_V + PG_RW
low_pdp:
	.set	table, 0
	.rept	4
	.quad	low_pds + table + PG_V + PG_RW
	.set	table, table + PAGE_SIZE
	.endr
	.rept	508
	.quad	sink_pd + PG_V + PG_RW
	.endr
kernel_pdp:
	.rept	KERNBASE_PDP
	.quad	sink_pd + PG_V + PG_RW
	.endr
	.quad	low_pds + PG_V + PG_RW
	.quad	low_pds + PAGE_SIZE + PG_V + PG_RW
low_pds:
	.set	address, 0
	.rept	4 * 512
	.quad	address + PG_V + PG_RW + PG_PS
	.set	address, address + PAGE_SIZE_2M
	.endr
sink_pdp:
	same_table sink_pd
sink_pd:
	same_table sink_pt
sink_pt:
	same_table sink

	.bss
	.balign	PAGE_SIZE
sink:
	.skip	PAGE_SIZE
	.skip	PAGE_SIZE
stack_top:

	.section .note.GNU-stack, "", @progbits
