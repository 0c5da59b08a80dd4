"""The table of guests' architectures, with one row each.

A row has all that depends on the guest's processor and board: QEMU's program and machine,
firmware, the loader's path, compilers' targets, kernel files, serial ports, and the text that
kernels of that architecture print. ``GUEST`` is the row of the guests that this harness starts.
Sources in C and assembly, and kernel configurations, are in directories of the row's name below
``images/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Firmware(NamedTuple):
    """The UEFI firmware of guests.

    Args:
        name: the project's name.
        package: Debian's package.
        code: paths of code images without secure boot on hosts; the first that exists is used.
            Their variables live in memory only, and die with the guest.
    """

    name: str
    package: str
    code: tuple[str, ...]


class Cpu(NamedTuple):
    """The processor that guests get under one accelerator.

    Args:
        model: QEMU's ``-cpu``.
        mode: libvirt's ``<cpu mode=…>``.
        withheld: features that are hidden from the guest, by QEMU's and libvirt's common names.
        with_threads: more properties of the model if a core has several threads; without them
            the guest would count each thread as a core.
    """

    model: str
    mode: str
    withheld: tuple[str, ...] = ()
    with_threads: tuple[str, ...] = ()


class Board(NamedTuple):
    """QEMU's machine.

    Args:
        machine: the machine's type.
        bus: the PCI bus of the guest's disk.
        sata: the property that disables the built-in SATA controller; empty if there is none.
        features: libvirt's ``<features>``.
        levels: the part of ``-smp`` with ``{sockets}``, ``{cores}`` and ``{threads}``.
        console_port: QEMU's options for the first serial port, with ``{chardev}`` and
            ``{number}``.
        serial_port: the same for other serial ports.
        serial_target: libvirt's type of serial ports.
        max_serial_ports: maximum number of serial ports.
        hole_mib: MiB of addresses below 4 GiB without memory, in a guest with more than
            ``below_hole_mib`` of memory; one domain also holds the page structures of the hole.
        below_hole_mib: see ``hole_mib``.
    """

    machine: str
    bus: str
    sata: str
    features: tuple[str, ...]
    levels: str
    console_port: tuple[str, str]
    serial_port: tuple[str, str]
    serial_target: str
    max_serial_ports: int
    hole_mib: int
    below_hole_mib: int


class DirectStart(NamedTuple):
    """How QEMU starts a kernel by itself.

    Args:
        kernel_base: the virtual address of physical 0 in the kernel (``KERNBASE``).
        kernel_load: the lowest physical address of a kernel; ``images/directboot`` lies below it.
        mapped: size of the memory that the first page tables map at the kernel's addresses.
        last_words: the last line that the loader prints, with the kernel's entry point.
    """

    kernel_base: int
    kernel_load: int
    mapped: int
    last_words: str


class Probe(NamedTuple):
    """The guest that checks and measures an accelerator (``images/accelprobe``).

    Args:
        checks: its checks, in order, by the letter that it writes.
        optional: the checks of instructions that a CPU may lack.
        memory: QEMU's ``-m``.
    """

    checks: Mapping[str, str]
    optional: str
    memory: str


class PageTables(NamedTuple):
    """The format of page tables, and the registers that select them in QEMU's note of a CPU.

    Offsets are in bytes from the start of the note's descriptor (``QEMUCPUState`` in QEMU's
    ``target/*/arch_dump.c``).

    Args:
        index_bits: address bits that each level translates; a table has a page's size.
        address: the bits of an entry that are an address.
        present: the bit of a valid entry.
        large: the bit of an entry that maps a large page, in the levels of ``large_levels``.
        large_levels: levels whose entries can map a large page; level 0 maps pages.
        levels: number of levels.
        deep: offset, bit and number of levels where that bit is set.
        paging: offset and bit of the register that enables paging.
        root: offset of the register with the address of the first table.
    """

    index_bits: int
    address: int
    present: int
    large: int
    large_levels: frozenset[int]
    levels: int
    deep: tuple[int, int, int]
    paging: tuple[int, int]
    root: int


class ConsoleText(NamedTuple):
    """Console output of the architecture's kernels, as regular expressions.

    Args:
        trap_names: names of fatal traps, by number.
        double_fault: the number of the trap whose message has none.
        other_traps: more messages of panics by fatal traps.
        registers: lines of registers in a trap's table.
        pc_line: a line of registers with the program counter, as ``pc``.
        entry: a line of a backtrace at an entry of the kernel, with ``entry``, ``pc`` and ``sp``.
        entry_text: a text that each such line contains.
        kernel_from: the lowest address of the kernel.
        traps: functions from a trap's vector to the panic.
        vectors: the trap vectors among them.
        roots: functions at which threads start.
        panics: functions at which a fatal trap ends.
    """

    trap_names: Mapping[int, str]
    double_fault: int
    other_traps: tuple[str, ...]
    registers: str
    pc_line: str
    entry: str
    entry_text: str
    kernel_from: int
    traps: tuple[str, ...]
    vectors: str
    roots: tuple[str, ...]
    panics: str


class Architecture(NamedTuple):
    """One architecture.

    Args:
        name: FreeBSD's ``MACHINE`` and ``TARGET``, and the name of directories below ``images/``.
        target_arch: ``TARGET_ARCH``.
        elf_machine: the machine of its ELF files (``e_machine``).
        elf_sections: the architecture's own types of sections that are loaded.
        target: clang's target for FreeBSD programs.
        sources: directories of a tree that contain only its sources and headers.
        left_out: directories with other architectures' sources, which are not checked out.
        unread: more such directories, which are checked out.
        configurations: the directory of a tree with its kernel configurations.
        options: the files of a tree that list kernel options, beside ``sys/conf/options``.
        page: the size of a page, in bytes.
        max_domains: ``MAXMEMDOM``: with more, the kernel refuses the SRAT and sees one domain.
        cpu_id: the name of the CPU identifiers in its firmware tables.
        last_cpu_id: the largest identifier of a CPU that firmware, QEMU and kernel start.
        program: QEMU's program.
        package: Debian's package of that program.
        qemu_arch: QEMU's and libvirt's name of the architecture.
        cpus: processors of guests, by accelerator.
        board: QEMU's machine.
        firmware: UEFI.
        loader: path of the loader on a removable volume (UEFI 2.10, 3.5.1.1).
        console_tunables: tunables without which the console is silent; users cannot override them.
        module_tunables: the same for guests with the check module, which uses the second port.
        delay_tunables: tunables of kernels that call DELAY(9) anywhere, as KCSAN does.
        direct: how QEMU starts its kernels; None if it cannot.
        probe: the guest that measures accelerators.
        page_tables: the format of its page tables.
        embedded_flags: compiler flags of the built-in guest.
        embedded_kasan_flags: the same with KASAN.
        host_flags: compiler flags of kernel sources in a host program.
        host_headers: directories of a tree that its kernel sources include by another name.
        console: console output of its kernels.
    """

    name: str
    target_arch: str
    elf_machine: int
    elf_sections: tuple[int, ...]
    target: str
    sources: tuple[str, ...]
    left_out: tuple[str, ...]
    unread: tuple[str, ...]
    configurations: str
    options: tuple[str, ...]
    page: int
    max_domains: int
    cpu_id: str
    last_cpu_id: int
    program: str
    package: str
    qemu_arch: str
    cpus: Mapping[str, Cpu]
    board: Board
    firmware: Firmware
    loader: str
    console_tunables: Mapping[str, str]
    module_tunables: Mapping[str, str]
    delay_tunables: tuple[tuple[str, str], ...]
    direct: DirectStart | None
    probe: Probe
    page_tables: PageTables
    embedded_flags: tuple[str, ...]
    embedded_kasan_flags: tuple[str, ...]
    host_flags: tuple[str, ...]
    host_headers: Mapping[str, str]
    console: ConsoleText


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
