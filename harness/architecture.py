"""What the harness knows of an architecture; ``harness.arch`` has a row for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


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
