"""The table of guests' architectures, with one row each.

A row has all that depends on the guest's processor and board: QEMU's program and machine,
firmware, the loader's path, compilers' targets, kernel files, serial ports, and the text that
kernels of that architecture print. ``GUEST`` is the row of the guests that this harness starts.
Sources in C and assembly, and kernel configurations, are in directories of the row's name below
``images/``.
"""

from __future__ import annotations

from typing import Final

from harness.architecture import (
    Architecture,
    Board,
    ConsoleText,
    Cpu,
    DirectStart,
    Firmware,
    PageTables,
    Probe,
)

AMD64: Final = Architecture(
    name="amd64",
    target_arch="amd64",
    elf_machine=62,  # EM_X86_64
    elf_sections=(0x70000001,),  # SHT_AMD64_UNWIND
    target="x86_64-unknown-freebsd13.2",
    sources=("sys/amd64", "sys/x86", "sys/i386/include"),
    left_out=("sys/arm", "sys/i386", "sys/mips", "sys/powerpc", "sys/riscv"),
    unread=("sys/arm64",),
    configurations="sys/amd64/conf",
    options=("sys/conf/options.amd64",),
    page=4096,
    max_domains=8,  # sys/amd64/include/param.h
    cpu_id="APIC id",
    last_cpu_id=254,  # more need x2APIC, which firmware under emulation does not set up
    program="qemu-system-x86_64",
    package="qemu-system-x86",
    qemu_arch="x86_64",
    cpus={
        "tcg": Cpu(
            "max",
            "maximum",
            (
                # QEMU's mwait is a pause loop: each idle CPU would burn one of the host's.
                "monitor",
                # TCG runs rep stosb byte by byte; without erms the kernel clears by quadwords.
                "erms",
                # FreeBSD turns on 5-level paging where it can: a layout few machines have.
                "la57",
            ),
            # Its own family is AMD's 6, which had no threads.
            ("vendor=GenuineIntel",),
        ),
        "kvm": Cpu("host", "host-passthrough", (), ("topoext=on",)),
    },
    # PCI Express, the ACPI tables FreeBSD expects, and a SATA controller that can be left out.
    board=Board(
        machine="q35",
        bus="pcie.0",
        sata="sata",
        features=("acpi", "apic"),
        levels="sockets={sockets},dies=1,cores={cores},threads={threads}",
        console_port=("-device", "isa-serial,chardev={chardev},index={number}"),
        serial_port=("-device", "isa-serial,chardev={chardev},index={number}"),
        serial_target="isa-serial",
        max_serial_ports=4,  # COM1 to COM4
        hole_mib=2048,  # pc_q35.c
        below_hole_mib=2816,
    ),
    firmware=Firmware(
        "OVMF",
        "ovmf",
        (
            # Debian, Ubuntu. The 2 MiB build comes up in 2.4 s of CPU time under emulation, the
            # 4 MiB build, which newer releases have alone, in 2.9 s.
            "/usr/share/OVMF/OVMF_CODE.fd",
            "/usr/share/OVMF/OVMF_CODE_4M.fd",
            "/usr/share/edk2/ovmf/OVMF_CODE.fd",  # Fedora
            "/usr/share/edk2/x64/OVMF_CODE.4m.fd",  # Arch
            "/usr/share/qemu/ovmf-x86_64-code.bin",  # openSUSE
            "/usr/local/share/edk2-qemu/QEMU_UEFI_CODE-x86_64.fd",  # FreeBSD
        ),
    ),
    loader="EFI/BOOT/BOOTX64.EFI",
    console_tunables={
        "console": "comconsole",
        "boot_serial": "YES",
        "comconsole_speed": "115200",
        "hint.uart.0.at": "isa",
        "hint.uart.0.port": "0x3F8",
        "hint.uart.0.flags": "0x10",  # this one is the console (uart(4))
        "hint.uart.0.irq": "4",
    },
    # The check module polls the second serial port itself (images/kmod/channel.c).
    module_tunables={"hint.uart.1.disabled": "1"},
    # TCG's TSC is not invariant; without this, 13.2 waits with the i8254 and recurses on its lock,
    # and 15.1 waits late or never (sys/x86/x86/tsc.c).
    delay_tunables=(("kern.timecounter.invariant_tsc", "1"),),
    direct=DirectStart(
        kernel_base=0xFFFFFFFF80000000,  # sys/amd64/include/vmparam.h
        kernel_load=2 << 20,  # the same
        mapped=1 << 30,
        last_words="Start @ {:#x} ...\r\n",  # stand/efi/loader/arch/amd64/elf64_freebsd.c
    ),
    probe=Probe(
        checks={
            "m": "arithmetic in long mode",
            "p": "page tables",
            "r": "rdrand",
            "c": "popcnt",
            "s": "SSE",
            "f": "fsin",
            "i": "the second CPU and IPIs",
            "t": "the APIC timer",
            "o": "port accesses",
        },
        optional="rcs",
        memory="16M",
    ),
    # Intel SDM, volume 3, 4.5. The kernel uses bits 52 to 62 itself, such as 54 for promoted pages.
    page_tables=PageTables(
        index_bits=9,
        address=0x000F_FFFF_FFFF_F000,
        present=1 << 0,
        large=1 << 7,
        large_levels=frozenset({1, 2}),
        levels=4,
        deep=(424, 1 << 12, 5),  # CR4.LA57
        paging=(392, 1 << 31),  # CR0.PG
        root=416,  # CR3
    ),
    embedded_flags=(
        "--target=x86_64-unknown-linux-gnu",  # clang refuses the sanitizer for bare ELF
        "-mcmodel=kernel",
        "-mno-red-zone",
        "-mno-mmx",
        "-mno-sse",
        "-msoft-float",
    ),
    embedded_kasan_flags=("-asan-mapping-offset=0xdffff7c000000000",),  # images/embedded/layout.h
    host_flags=("-mcmodel=small", "-mno-red-zone", "-mno-sse", "-mno-avx", "-msoft-float"),
    host_headers={
        "machine": "sys/amd64/include",
        "x86": "sys/x86/include",
        "i386": "sys/i386/include",
    },
    console=ConsoleText(
        # sys/x86/include/trap.h, and trap_msg[] of sys/amd64/amd64/trap.c
        trap_names={
            1: "privileged instruction fault",
            3: "breakpoint instruction fault",
            6: "arithmetic trap",
            9: "general protection fault",
            10: "debug exception",
            12: "page fault",
            14: "alignment fault",
            18: "integer divide fault",
            19: "non-maskable interrupt trap",
            20: "overflow trap",
            21: "FPU bounds check fault",
            22: "FPU device not available",
            23: "double fault",
            24: "FPU operand fetch fault",
            25: "invalid TSS fault",
            26: "segment not present fault",
            27: "stack fault",
            28: "machine check trap",
            29: "SIMD floating-point exception",
            30: "reserved (unknown) fault",
        },
        double_fault=23,  # T_DOUBLEFLT
        other_traps=("DTrace pid return trap", "unknown", "trap"),
        # sys/amd64/amd64/trap.c, trap_fatal() and dblfault_handler()
        registers=r"^\s*= DPL \d|^(?:rdi|rcx|rax|r10|r13): [0-9a-f]{16} "
        r"|^r(?:ip|ax|cx|8|11|14) 0x[0-9a-f]+ r",
        pc_line=r"^rip 0x(?P<pc>[0-9a-f]{1,16}) ",
        # sys/amd64/amd64/db_trace.c, db_nextframe()
        entry=r"^--- (?P<entry>trap (?:0x)?[0-9a-f]{1,4}|interrupt|syscall(?: \([^()]{0,80}\))?),"
        r" rip = (?:0x)?(?P<pc>[0-9a-f]{1,16}), rsp = (?:0x)?(?P<sp>[0-9a-f]{1,16})\b",
        entry_text=", rip = ",
        kernel_from=0xFFFF_8000_0000_0000,
        # sys/amd64/amd64/trap.c, exception.S, sys/x86/x86/cpu_machdep.c
        traps=(
            r"trap|trap_\w+|\w*calltrap\w*|alltraps\w*|dblfault_\w+|nmi_\w+|mca_intr",
            r"X(?:dblfault|page|prot|fpu|ill|bnd|div|align|nmi|mchk|missing|stk|tss)\w*",
        ),
        vectors=r"\w*calltrap\w*|alltraps\w*|Xdblfault\w*",
        # sys/amd64/amd64/exception.S, locore.S, trap.c
        roots=(r"(?:amd64_)?syscall\w*|fast_syscall\w*|X(?:fast_|int0x80_)\w+", r"btext"),
        panics=r"trap_fatal|dblfault_handler",
    ),
)

TABLE: Final = (AMD64,)

GUEST: Final = AMD64
"""The architecture of guests, of the kernels that are built for them, and of kernel files."""
