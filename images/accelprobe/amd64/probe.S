/*
 * SPDX-License-Identifier: BSD-2-Clause
 * Copyright (c) 2026 the harness authors
 */
/*
 * The guest that measures an accelerator. It is its own firmware (QEMU's -bios): nothing runs
 * before it. It writes to QEMU's debug console (port 0xe9):
 *
 *	<	the measured time begins
 *	a letter for each check: small, it passed; capital, it failed; -, no such instruction
 *		m  arithmetic, memory and calls in long mode, done and undone
 *		p  page tables: a page remapped and walked, its accessed and dirty bits, faults
 *		r  rdrand	c  popcnt	s  pshufb, sqrtsd	f  fsin
 *		i  a second CPU, started by INIT and SIPI, and fixed IPIs both ways
 *		t  interrupts of the APIC's timer
 *		o  10,000 accesses of I/O ports, to the RTC's memory
 *	>	the measured time ends
 *	X	an exception that nobody expected; nothing follows
 *
 * and then faults three times over, which resets the machine.
 *
 * Intel 64 SDM, volume 3: 9.1.4 (the first instruction), 9.8.5 (long mode), 4.5 (4-level
 * paging), 10.4 to 10.6 (local APIC, timer, IPIs), 8.4 (starting further processors).
 */
#define DEBUG_PORT	0xe9
#define RTC_INDEX	0x70
#define RTC_DATA	0x71
#define RTC_RAM		0x50		/* a byte of the RTC's memory that means nothing here */
#define DELAY_PORT	0x80
#define PIC1_MASK	0x21
#define PIC2_MASK	0xa1

#define CODE32_SEL	0x08
#define DATA_SEL	0x10
#define CODE64_SEL	0x18

#define CR0_PE		0x00000001
#define CR0_MP		0x00000002
#define CR0_EM		0x00000004
#define CR0_NW_CD	0x60000000	/* caches off, as after a reset */
#define CR0_PG		0x80000000
#define CR4_PAE_SSE	0x620		/* PAE, OSFXSR, OSXMMEXCPT */
#define MSR_EFER	0xc0000080
#define EFER_LME	0x100

#define CPUID_1_SSSE3	9		/* bits of %ecx */
#define CPUID_1_POPCNT	23
#define CPUID_1_RDRAND	30

#define PG_V_RW		0x003
#define PG_A		0x020
#define PG_D		0x040
#define PG_PS		0x080
#define PG_NC		0x018		/* not cached, written through: the APIC's registers */
#define PG_FRAME	0x000ffffffffff000

/* Where things lie, all in the first 4 MiB. */
#define BODY		0x100000
#define ROM		0xffff0000
#define ROM_SIZE	0x10000
#define IN_ROM(symbol)	((symbol) + (ROM - BODY))
#define TRAMPOLINE	0x8000
#define TRAMPOLINE_PAGE	(TRAMPOLINE >> 12)
#define PML4		0x200000
#define PDPT		0x201000
#define PD_LOW		0x202000
#define PD_APIC		0x203000
#define PD_TEST		0x204000
#define PT_TEST		0x205000
#define TABLES_END	0x206000
#define IDT		0x206000
#define IDT_VECTORS	256
#define PAGE_A		0x210000
#define PAGE_B		0x211000
#define STACK		0x300000
#define AP_STACK	0x310000
#define WORK		0x320000
#define WORK_WORDS	4096
#define TEST_VA		0x40000000

#define APIC		0xfee00000
#define APIC_EOI	0x0b0
#define APIC_SVR	0x0f0
#define APIC_ICR_LOW	0x300
#define APIC_ICR_HIGH	0x310
#define APIC_LVT_TIMER	0x320
#define APIC_TIMER_COUNT 0x380
#define APIC_TIMER_DIV	0x3e0
#define SVR_ENABLE	0x1ff		/* and the spurious vector */
#define ICR_INIT	0x4500
#define ICR_STARTUP	(0x4600 | TRAMPOLINE_PAGE)
#define ICR_FIXED	0x4000
#define TIMER_PERIODIC	0x20000
#define TIMER_MASKED	0x10000
#define DIVIDE_BY_16	3

#define VECTOR_PF	14
#define VECTOR_TIMER	0x40
#define VECTOR_PING	0x41
#define VECTOR_PONG	0x42

#define ROUNDS_PAGES	12000
#define ROUNDS_FAULTS	200
#define ROUNDS_WORK	10000
#define ROUNDS_IPI	32
#define ROUNDS_RTC	2500		/* of four accesses */
#define TIMER_TICKS	5
#define TIMER_PERIOD	62500		/* 1 ms of QEMU's APIC, 1 GHz by 16 */

#define LCG_MULTIPLIER	0x5851f42d4c957f2d
#define LCG_INVERSE	0xc097ef87329e28a5	/* its product with the multiplier is 1 */
#define LCG_INCREMENT	0x14057b7ef767814f

	.macro	emit character
	movb	$\character, %al
	outb	%al, $DEBUG_PORT
	.endm

	/* Writes to a register of the local APIC, by %edi. */
	.macro	apic register, value
	movl	$APIC, %edi
	movl	$\value, \register(%rdi)
	.endm

	/* ---- What runs at 1 MiB. ---- */

	.section .rom, "awx"
	.code32
body_start:
	movl	$STACK, %esp
	lgdt	gdt_pointer
	call	make_page_tables
	movl	$trampoline, %esi
	movl	$TRAMPOLINE, %edi
	movl	$trampoline_end - trampoline, %ecx
	rep	movsb
	movl	$main, %ebx
	jmp	long_mode

	/* Into long mode and on at %ebx; for both CPUs. */
long_mode:
	movl	$CR4_PAE_SSE, %eax
	movl	%eax, %cr4
	movl	$PML4, %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$EFER_LME, %eax
	wrmsr
	movl	%cr0, %eax
	andl	$~(CR0_EM | CR0_NW_CD), %eax
	orl	$CR0_PG | CR0_MP, %eax
	movl	%eax, %cr0
	ljmpl	$CODE64_SEL, $1f
	.code64
1:	movl	%ebx, %ebx
	jmpq	*%rbx

	.code32
make_page_tables:
	movl	$PML4, %edi
	movl	$(TABLES_END - PML4) / 4, %ecx
	xorl	%eax, %eax
	rep	stosl
	movl	$PDPT | PG_V_RW, PML4
	movl	$PD_LOW | PG_V_RW, PDPT
	movl	$PD_TEST | PG_V_RW, PDPT + 8 * (TEST_VA >> 30)
	movl	$PD_APIC | PG_V_RW, PDPT + 8 * (APIC >> 30)
	movl	$PG_V_RW | PG_PS, PD_LOW
	movl	$0x200000 | PG_V_RW | PG_PS, PD_LOW + 8
	movl	$(APIC & ~0x1fffff) | PG_V_RW | PG_PS | PG_NC, PD_APIC + 8 * ((APIC >> 21) & 511)
	movl	$PT_TEST | PG_V_RW, PD_TEST
	ret

	/* Copied to TRAMPOLINE, where the second CPU starts in real mode, %cs being 0x800. */
	.code16
trampoline:
	cli
	cld
	xorw	%ax, %ax
	movw	%ax, %ds
	lgdtl	TRAMPOLINE + (trampoline_gdt_pointer - trampoline)
	movl	%cr0, %eax
	orl	$CR0_PE, %eax
	movl	%eax, %cr0
	ljmpl	$CODE32_SEL, $second_protected_mode
trampoline_gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
trampoline_end:

	.code32
second_protected_mode:
	movw	$DATA_SEL, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$second_main, %ebx
	jmp	long_mode

	.code64
second_main:
	movl	$AP_STACK, %esp
	lidt	idt_pointer
	apic	APIC_SVR, SVR_ENABLE
	movl	$1, second_runs
1:	sti
	hlt
	jmp	1b

main:
	movl	$STACK, %esp
	call	make_idt
	apic	APIC_SVR, SVR_ENABLE
	movb	$0xff, %al
	outb	%al, $PIC1_MASK		/* the timer of the PC may run */
	outb	%al, $PIC2_MASK
	fninit
	sti
	emit	'<'
	call	check_work
	call	check_pages
	call	check_rdrand
	call	check_popcnt
	call	check_sse
	call	check_fsin
	call	check_ipi
	call	check_timer
	call	check_ports
	emit	'>'
	lidt	no_idt
	int3				/* no handler, none for that, none for that: a triple fault */
1:	hlt
	jmp	1b

	/* Says how a check went: the letter %dl, small if %eax is 1. */
verdict:
	cmpl	$1, %eax
	je	1f
	subb	$0x20, %dl
1:	movb	%dl, %al
	outb	%al, $DEBUG_PORT
	ret

	/* Says that the CPU has no such instruction, and returns for the check that asked. */
	.macro	need bit
	movl	$1, %eax
	cpuid
	btl	$\bit, %ecx
	jc	1f
	emit	'-'
	ret
1:
	.endm

	/* A linear congruential generator forwards and backwards, in memory, through a call. */
check_work:
	movl	$ROUNDS_WORK, %r12d
	movabsq	$0x123456789abcdef, %rbx
	movq	%rbx, %r13
1:	movl	$WORK, %edi
	movl	$WORK_WORDS / 16, %ecx
2:	call	forwards
	movq	%rbx, (%rdi)
	addq	$8, %rdi
	loop	2b
	movl	$WORK_WORDS / 16, %ecx
3:	subq	$8, %rdi
	cmpq	%rbx, (%rdi)
	jne	4f
	call	backwards
	loop	3b
	decl	%r12d
	jnz	1b
4:	xorl	%eax, %eax
	cmpq	%rbx, %r13
	sete	%al
	testl	%r12d, %r12d
	jz	5f
	xorl	%eax, %eax
5:	movb	$'m', %dl
	jmp	verdict

forwards:
	movabsq	$LCG_MULTIPLIER, %rax
	imulq	%rax, %rbx
	movabsq	$LCG_INCREMENT, %rax
	addq	%rax, %rbx
	ret

backwards:
	movabsq	$LCG_INCREMENT, %rax
	subq	%rax, %rbx
	movabsq	$LCG_INVERSE, %rax
	imulq	%rax, %rbx
	ret

check_pages:
	movq	$0x5a5a5a5a, PAGE_A
	movq	$0x3c3c3c3c, PAGE_B
	movl	$ROUNDS_PAGES, %ecx
	xorl	%eax, %eax
1:	movq	$PAGE_A | PG_V_RW, PT_TEST
	invlpg	TEST_VA
	cmpq	$0x5a5a5a5a, TEST_VA
	jne	9f
	movq	$PAGE_B | PG_V_RW, PT_TEST
	invlpg	TEST_VA
	cmpq	$0x3c3c3c3c, TEST_VA
	jne	9f
	loop	1b
	/* Only read so far: accessed, not dirty. */
	testq	$PG_A, PT_TEST
	jz	9f
	testq	$PG_D, PT_TEST
	jnz	9f
	movq	$0x7e7e7e7e, TEST_VA
	testq	$PG_D, PT_TEST
	jz	9f
	cmpq	$0x7e7e7e7e, PAGE_B
	jne	9f
	/* The tables, walked from %cr3, lead to the same page. */
	movq	%cr3, %rsi
	movabsq	$PG_FRAME, %rbx
	movl	$TEST_VA, %edi
	movl	$39, %ecx
2:	andq	%rbx, %rsi
	movq	%rdi, %rdx
	shrq	%cl, %rdx
	andl	$511, %edx
	movq	(%rsi, %rdx, 8), %rsi
	subl	$9, %ecx
	cmpl	$12, %ecx
	jge	2b
	andq	%rbx, %rsi
	cmpq	$PAGE_B, %rsi
	jne	9f
	/* A page that is not there faults, and the handler maps PAGE_A. */
	movl	$ROUNDS_FAULTS, %ecx
3:	movq	$0, PT_TEST
	invlpg	TEST_VA
	cmpq	$0x5a5a5a5a, TEST_VA
	jne	9f
	loop	3b
	cmpl	$ROUNDS_FAULTS, faults
	sete	%al
9:	movb	$'p', %dl
	jmp	verdict

check_rdrand:
	need	CPUID_1_RDRAND
	movl	$100, %ecx
	xorl	%eax, %eax
1:	rdrand	%rbx
	jnc	2f
	rdrand	%rdx
	jnc	2f
	cmpq	%rbx, %rdx
	jne	3f
2:	loop	1b
	jmp	4f
3:	movl	$1, %eax
4:	movb	$'r', %dl
	jmp	verdict

check_popcnt:
	need	CPUID_1_POPCNT
	xorl	%eax, %eax
	movabsq	$0x0123456789abcdef, %rbx
	popcntq	%rbx, %rcx
	cmpq	$32, %rcx
	jne	1f
	movabsq	$0xffff0000ffff0001, %rbx
	popcntq	%rbx, %rcx
	cmpq	$33, %rcx
	sete	%al
1:	movb	$'c', %dl
	jmp	verdict

check_sse:
	need	CPUID_1_SSSE3
	xorl	%eax, %eax
	movdqu	bytes, %xmm0
	movdqu	reversal, %xmm1
	pshufb	%xmm1, %xmm0
	movq	%xmm0, %rbx
	movabsq	$0x08090a0b0c0d0e0f, %rcx
	cmpq	%rcx, %rbx
	jne	1f
	movsd	two, %xmm0
	sqrtsd	%xmm0, %xmm0
	movq	%xmm0, %rbx
	cmpq	root_of_two, %rbx
	sete	%al
1:	movb	$'s', %dl
	jmp	verdict

check_fsin:
	xorl	%eax, %eax
	fldl	half
	fsin
	fmull	billion
	fistpll	rounded
	cmpq	$479425539, rounded	/* sin(0.5), in billionths */
	sete	%al
	movb	$'f', %dl
	jmp	verdict

check_ipi:
	apic	APIC_ICR_HIGH, 0x01000000
	apic	APIC_ICR_LOW, ICR_INIT
	call	delay
	apic	APIC_ICR_HIGH, 0x01000000
	apic	APIC_ICR_LOW, ICR_STARTUP
	call	delay
	apic	APIC_ICR_HIGH, 0x01000000
	apic	APIC_ICR_LOW, ICR_STARTUP
1:	pause
	cmpl	$1, second_runs
	jne	1b
	movl	$ROUNDS_IPI, %ebx
	xorl	%edx, %edx
2:	incl	%edx
	apic	APIC_ICR_HIGH, 0x01000000
	apic	APIC_ICR_LOW, (ICR_FIXED | VECTOR_PING)
3:	cli
	cmpl	%edx, pongs
	je	4f
	sti
	hlt
	jmp	3b
4:	sti
	cmpl	%ebx, %edx
	jne	2b
	xorl	%eax, %eax
	cmpl	%ebx, pings
	sete	%al
	movb	$'i', %dl
	jmp	verdict

delay:
	movl	$20, %ecx
1:	inb	$DELAY_PORT, %al
	loop	1b
	ret

check_timer:
	apic	APIC_TIMER_DIV, DIVIDE_BY_16
	apic	APIC_LVT_TIMER, (TIMER_PERIODIC | VECTOR_TIMER)
	apic	APIC_TIMER_COUNT, TIMER_PERIOD
1:	cli
	cmpl	$TIMER_TICKS, ticks
	jae	2f
	sti
	hlt
	jmp	1b
2:	apic	APIC_LVT_TIMER, TIMER_MASKED
	sti
	movl	$1, %eax
	movb	$'t', %dl
	jmp	verdict

check_ports:
	movl	$ROUNDS_RTC, %ecx
	xorl	%ebx, %ebx
1:	movb	$RTC_RAM, %al
	outb	%al, $RTC_INDEX
	movb	%cl, %al
	outb	%al, $RTC_DATA
	movb	$RTC_RAM, %al
	outb	%al, $RTC_INDEX
	inb	$RTC_DATA, %al
	cmpb	%cl, %al
	jne	2f
	loop	1b
	movl	$1, %ebx
2:	movl	%ebx, %eax
	movb	$'o', %dl
	jmp	verdict

	/* Every vector unexpected, but those that are expected. */
make_idt:
	movl	$IDT, %edi
	movl	$IDT_VECTORS, %ecx
1:	movl	$unexpected, %eax
	call	gate
	loop	1b
	movl	$IDT + 16 * VECTOR_PF, %edi
	movl	$page_fault, %eax
	call	gate
	movl	$IDT + 16 * VECTOR_TIMER, %edi
	movl	$timer_interrupt, %eax
	call	gate
	movl	$ping_interrupt, %eax
	call	gate
	movl	$pong_interrupt, %eax
	call	gate
	movl	$IDT + 16 * 0xff, %edi
	movl	$spurious_interrupt, %eax
	call	gate
	lidt	idt_pointer
	ret

	/* An interrupt gate to %eax at %rdi, and past it. */
gate:
	movw	%ax, (%rdi)
	movw	$CODE64_SEL, 2(%rdi)
	movw	$0x8e00, 4(%rdi)
	shrl	$16, %eax
	movw	%ax, 6(%rdi)
	movq	$0, 8(%rdi)
	addq	$16, %rdi
	ret

page_fault:
	pushq	%rax
	movq	%cr2, %rax
	cmpq	$TEST_VA, %rax
	jne	unexpected
	movq	$PAGE_A | PG_V_RW, PT_TEST
	incl	faults
	popq	%rax
	addq	$8, %rsp		/* the error code */
	iretq

timer_interrupt:
	incl	ticks
	jmp	end_of_interrupt

ping_interrupt:
	pushq	%rdi
	lock
	incl	pings
	apic	APIC_ICR_HIGH, 0
	apic	APIC_ICR_LOW, (ICR_FIXED | VECTOR_PONG)
	popq	%rdi
	jmp	end_of_interrupt

pong_interrupt:
	lock
	incl	pongs
end_of_interrupt:
	pushq	%rdi
	apic	APIC_EOI, 0
	popq	%rdi
spurious_interrupt:
	iretq

unexpected:
	emit	'X'
1:	cli
	hlt
	jmp	1b

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* CODE32_SEL */
	.quad	0x00cf93000000ffff	/* DATA_SEL */
	.quad	0x00af9b000000ffff	/* CODE64_SEL */
gdt_end:
two:		.double	2.0
root_of_two:	.quad	0x3ff6a09e667f3bcd
half:		.double	0.5
billion:	.double	1000000000.0
rounded:	.quad	0
bytes:		.byte	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
reversal:	.byte	15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0
ticks:		.long	0
pings:		.long	0
pongs:		.long	0
faults:		.long	0
second_runs:	.long	0
gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	gdt
idt_pointer:
	.word	16 * IDT_VECTORS - 1
	.quad	IDT
no_idt:
	.word	0
	.quad	0

	/* ---- What the processor starts with, in real mode, at the end of the ROM. ---- */

	.org	ROM_SIZE - 0x200
	.code16
real_mode:
	cli
	cld
	lgdtl	%cs:(rom_gdt_pointer - BODY)
	movl	%cr0, %eax
	orl	$CR0_PE, %eax
	movl	%eax, %cr0
	ljmpl	$CODE32_SEL, $IN_ROM(protected_mode)

	.code32
protected_mode:
	movw	$DATA_SEL, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$ROM, %esi
	movl	$BODY, %edi
	movl	$ROM_SIZE / 4, %ecx
	rep	movsl
	movl	$body_start, %eax
	jmpl	*%eax

rom_gdt_pointer:
	.word	gdt_end - gdt - 1
	.long	IN_ROM(gdt)

	.org	ROM_SIZE - 16
	.code16
	.globl	_start
_start:
	jmp	real_mode
	.org	ROM_SIZE
