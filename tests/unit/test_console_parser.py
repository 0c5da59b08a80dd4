"""What the parser makes of each kind of line; the formats are the kernel's, as its sources have
them. Whole consoles are in tests/golden.
"""

from __future__ import annotations

import pytest

from harness.console import events as e
from harness.console.eventkinds import LoaderFault, ShutdownStep, WarningKind
from harness.console.eventlimits import MAX_EVENTS, MAX_REPEATS
from harness.console.events import (
    Event,
    Frame,
)
from harness.console.parser import MAX_LINE, ConsoleParser
from harness.console.pattern import Name
from harness.console.patterns import PATTERNS, PROMPTS


def read(text: str | bytes) -> list[Event]:
    parser = ConsoleParser()
    data = text.encode() if isinstance(text, str) else text
    return parser.feed(data) + parser.close()


def one(text: str) -> Event:
    (event,) = read(text)
    return event


IN_KERNEL = "---<<BOOT>>---\n"


def in_kernel(text: str) -> list[Event]:
    return read(IN_KERNEL + text)[1:]


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("BdsDxe: loading Boot0002 from PciRoot(0x0)", e.FirmwareStarted(0, "Boot0002")),
        (
            "BdsDxe: No bootable option or device was found.",
            e.FirmwareFailed(0, "No bootable option or device was found."),
        ),
        ("UEFI Interactive Shell v2.2", e.FirmwareFailed(0, "UEFI Interactive Shell v2.2")),
        (
            "!!!! X64 Exception Type - 0E(#PF - Page-Fault)  CPU Apic ID - 00000000 !!!!",
            e.FirmwareException(0, 14, "#PF - Page-Fault"),
        ),
        ("FreeBSD/amd64 EFI loader, Revision 1.1", e.LoaderStarted(0, "1.1")),
        ("/boot/kernel/kernel text=0xa8d98 text=0x82c817", e.FileLoading(0, "/boot/kernel/kernel")),
        ("/boot/kernel/hk.ko size 0x3030 at 0x183c000", e.FileLoading(0, "/boot/kernel/hk.ko")),
        (
            "changed copy_staging, unloading kernel",
            e.FilesUnloaded(0, "changed copy_staging, unloading kernel"),
        ),
        ("load: can't find '/boot/nothing'", e.LoaderFailed(0, "can't find '/boot/nothing'")),
        (
            "load: don't know how to load module '/boot/x'",
            e.LoaderFailed(0, "don't know how to load module '/boot/x'"),
        ),
        ("boot: no bootable kernel", e.LoaderFailed(0, "no bootable kernel", LoaderFault.RESULT)),
        (
            "elf64_loadfile: not a kernel (maybe static binary?)",
            e.LoaderFailed(
                0, "elf64_loadfile: not a kernel (maybe static binary?)", LoaderFault.FATAL
            ),
        ),
        (
            "Unable to allocate trampoline",
            e.LoaderFailed(0, "Unable to allocate trampoline", LoaderFault.FATAL),
        ),
        (
            "failed to allocate staging area: 9",
            e.LoaderFailed(0, "failed to allocate staging area: 9", LoaderFault.FATAL),
        ),
        (
            "load: no memory to load x",
            e.LoaderFailed(0, "no memory to load x", LoaderFault.FATAL),
        ),
        ("Start @ 0xffffffff802a8da0 ...", e.KernelEntered(0, 0xFFFFFFFF802A8DA0)),
        ("---<<BOOT>>---", e.MessagesBegin(0)),
        (
            "SRAT: No CPU found for memory domain 1",
            e.SratRefused(0, "No CPU found for memory domain 1"),
        ),
        ("SRAT: Overlapping memory entries", e.SratRefused(0, "Overlapping memory entries")),
        ("SRAT: mem dom 1 is empty", e.DomainEmpty(0, 1)),
        ("FreeBSD/SMP: Multiprocessor System Detected: 4 CPUs", e.CpusDetected(0, 4)),
        ("Launching APs: 1 3 2", e.CpusLaunched(0, (1, 3, 2))),
        ("SMP: AP CPU #1 Launched!", e.CpusLaunched(0, (1,))),
        ("pci0: <ACPI PCI bus> on pcib0", e.DeviceScan(0, "pci0")),
        ("Trying to mount root from ufs:/dev/md0 []...", e.MountRoot(0, "ufs:/dev/md0")),
        (
            "Mounting from ufs:/dev/md0 failed with error 22; retrying for 3 more seconds",
            e.MountRootFailed(0, "ufs:/dev/md0", 22, retrying=True),
        ),
        (
            "Mounting from ufs:/dev/md0 failed with error 22: Invalid fstype.",
            e.MountRootFailed(0, "ufs:/dev/md0", 22, retrying=False),
        ),
        ("start_init: trying /sbin/init", e.InitStarted(0, "/sbin/init")),
        (
            "KDB: enter: manual escape to debugger",
            e.DebuggerEntered(0, "manual escape to debugger"),
        ),
        ("Uptime: 1d2h3m4s", e.Shutdown(0, ShutdownStep.UPTIME)),
        ("Rebooting...", e.Shutdown(0, ShutdownStep.REBOOTING)),
        ("acpi0: Powering system off", e.Shutdown(0, ShutdownStep.POWERING_OFF)),
        ("The operating system has halted.", e.Shutdown(0, ShutdownStep.HALTED)),
        (
            "Automatic reboot in 15 seconds - press a key on the console to abort",
            e.Shutdown(0, ShutdownStep.AUTOMATIC_REBOOT),
        ),
        (
            "Sleeping thread (tid 100012, pid 0) owns a non-sleepable lock",
            e.KernelWarning(
                0,
                WarningKind.SLEEPING_THREAD,
                "Sleeping thread (tid 100012, pid 0) owns a non-sleepable lock",
            ),
        ),
        (
            "malloc(M_WAITOK) of 16 with the following non-sleepable locks held:",
            e.KernelWarning(
                0,
                WarningKind.LOCKS_HELD,
                "malloc(M_WAITOK) of 16 with the following non-sleepable locks held:",
            ),
        ),
        (
            'acquiring duplicate lock of same type: "vm page"',
            e.KernelWarning(
                0,
                WarningKind.DUPLICATE_LOCK,
                'acquiring duplicate lock of same type: "vm page"',
            ),
        ),
        (
            "KASSERT failed: not owned",
            e.KernelWarning(0, WarningKind.ASSERTION, "KASSERT failed: not owned"),
        ),
        (
            "kernel trap 12 with interrupts disabled",
            e.KernelWarning(0, WarningKind.TRAP, "kernel trap 12 with interrupts disabled"),
        ),
        (
            "arc4random: WARNING: not seeded",
            e.KernelWarning(0, WarningKind.OTHER, "arc4random: WARNING: not seeded"),
        ),
        (
            "[zone: mbuf_cluster] kern.ipc.nmbclusters limit reached",
            e.KernelWarning(
                0, WarningKind.OTHER, "[zone: mbuf_cluster] kern.ipc.nmbclusters limit reached"
            ),
        ),
        (
            "Freed UMA keg (rtentry) was not empty (4 items).  Lost 1 pages of memory.",
            e.KernelWarning(
                0,
                WarningKind.OTHER,
                "Freed UMA keg (rtentry) was not empty (4 items).  Lost 1 pages of memory.",
            ),
        ),
    ],
)
def test_line_gives_its_event(line: str, event: Event) -> None:
    assert one(f"{line}\r\n") == event


def test_each_pattern_has_a_name_of_its_own() -> None:
    assert sorted(pattern.name for pattern in PATTERNS) == sorted(Name)


def test_offset_is_where_the_line_begins() -> None:
    assert read("x\r\ny\r\nRebooting...\r\n")[0].offset == 6


def test_a_line_begins_behind_a_cursor_movement_and_a_spinner_is_overwritten() -> None:
    assert read(b"noise\x1b[2J\x1b[01;01H---<<BOOT>>---\r\n") == [e.MessagesBegin(17)]
    assert read(b"/boot/mfsroot /\b-\b\\\b|\bsize=0x400000\n") == [
        e.FileLoading(0, "/boot/mfsroot")
    ]


def test_colours_and_control_characters_within_a_word_do_not_hide_it() -> None:
    assert read(b"Reb\x1b[1moo\x00ting...\x1b[0m\r\n") == [e.Shutdown(0, ShutdownStep.REBOOTING)]


def test_kernel_names_its_release_and_on_the_next_line_its_configuration() -> None:
    console = (
        "FreeBSD 13.2-RELEASE #1 stable/13-n0: Sun Nov 22 15:09:21 UTC 2026\r\n"
        "    root@build:/usr/obj/usr/src/amd64.amd64/sys/HARNESS-KASAN amd64\r\n"
    )
    version = "#1 stable/13-n0: Sun Nov 22 15:09:21 UTC 2026"
    assert one(console) == e.KernelStarted(0, "13.2-RELEASE", "HARNESS-KASAN", "amd64", version)


def test_reproducible_kernel_names_both_on_one_line() -> None:
    version = "releng/15.1-n283562-96841ea08dcf GENERIC amd64"
    event = one(f"FreeBSD 15.1-RELEASE {version}\r\n")
    assert event == e.KernelStarted(0, "15.1-RELEASE", "GENERIC", "amd64", version)


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(
    ("prompt", "event"),
    [
        ("db> ", e.DebuggerPrompt(0)),
        ("mountroot> ", e.MountRootPrompt(0)),
        ("OK ", e.LoaderPrompt(0)),
    ],
)
def test_prompt_is_told_before_its_line_ends_and_once(prompt: str, event: Event, cut: bool) -> None:
    parser = ConsoleParser()
    pieces = [prompt[:2], prompt[2:]] if cut else [prompt]
    told = [event for piece in pieces for event in parser.feed(piece.encode())]
    assert told == [event]
    assert parser.feed(b"help\r\n") + parser.close() == []


def test_prompt_in_the_midst_of_a_chunk_is_told_too() -> None:
    assert in_kernel("db> c\nmore\n") == [e.DebuggerPrompt(15), e.DebuggerResumed(19)]


def test_loader_words_mean_nothing_once_the_kernel_runs() -> None:
    assert in_kernel("OK I can't find '/etc/fstab'\n") == []
    assert len(PROMPTS) == 4


PANIC_TAIL = "cpuid = 3\ntime = 1\n"


def test_panic_carries_its_message_and_cpu() -> None:
    assert one(f"panic: out of luck\n{PANIC_TAIL}") == e.Panic(0, "out of luck", 3)


def test_panic_is_found_behind_other_output_on_its_line() -> None:
    assert one(f"Waiting for syncer... panic: out\n{PANIC_TAIL}") == e.Panic(0, "out", 3)


def test_panic_of_a_kernel_without_smp_has_no_cpu() -> None:
    assert one("panic: out\ntime = 1\n") == e.Panic(0, "out", None)


def test_panic_is_believed_when_the_console_ends_before_the_rest() -> None:
    assert one("panic: out of luck\n") == e.Panic(0, "out of luck", None)


def test_panic_is_believed_when_the_kernel_reboots_after_it() -> None:
    assert read("panic: out\nUptime: 1s\n")[0] == e.Panic(0, "out", None)


def test_the_word_panic_alone_is_a_warning_when_the_console_goes_on() -> None:
    told = in_kernel("panic: runtime error: a program's own\n" + "more\n" * 20)
    assert [type(event) for event in told] == [e.KernelWarning]
    assert isinstance(told[0], e.KernelWarning)
    assert told[0].kind is WarningKind.UNPROVEN_PANIC


def test_the_word_panic_alone_is_a_warning_when_the_boot_goes_on() -> None:
    told = in_kernel("a driver says panic: so what\nstart_init: trying /sbin/init\nUptime: 1s\n")
    assert [type(event) for event in told] == [e.InitStarted, e.KernelWarning, e.Shutdown]


def test_panic_whose_head_came_torn_by_another_cpu_is_still_one() -> None:
    told = in_kernel(f"panic: out\nstart_init: trying /sbin/init\n{PANIC_TAIL}")
    assert told[1] == e.Panic(15, "out", 3)


def test_kernel_panic_of_another_word_is_none() -> None:
    assert in_kernel("dont-panic: 1\n") == []


def test_second_panic_within_the_first_is_told_as_well() -> None:
    told = read(f"panic: first\n{PANIC_TAIL}panic: second\n{PANIC_TAIL}")
    assert [event.message for event in told if isinstance(event, e.Panic)] == ["first", "second"]


BACKTRACE = """\
KDB: stack backtrace:
db_trace_self_wrapper() at db_trace_self_wrapper+0xa9/frame 0xffffffff8184faf0
vpanic() at vpanic+0x1d8/frame 0xffffffff8184fd10
ada0: some other CPU's line
trap_pfault() at trap_pfault+0x3/frame 0x10
--- trap 0xc, rip = 0xffffffff80e2ff4a, rsp = 0x20, rbp = 0x30 ---
vm_thing() at vm_thing+0x2/frame 0x30
??() at 0xffffffff81234567/frame 0x40
start() at start
--- trap 0, rip = 0, rsp = 0, rbp = 0 ---
late() at late+0x1
"""

FRAMES = (
    Frame("db_trace_self_wrapper", 0xA9, 0xFFFFFFFF8184FAF0),
    Frame("vpanic", 0x1D8, 0xFFFFFFFF8184FD10),
    Frame("trap_pfault", 3, 0x10),
    Frame("vm_thing", 2, 0x30, 0xFFFFFFFF80E2FF4A, "trap 0xc"),
    Frame("??", 0, 0x40, 0xFFFFFFFF81234567),
    Frame("start"),
)


def test_backtrace_has_its_frames_with_what_entered_the_kernel() -> None:
    assert read(BACKTRACE)[0] == e.Backtrace(22, FRAMES)


def test_only_the_frame_at_a_kernel_entry_is_no_return_address() -> None:
    assert [frame.is_return_address for frame in FRAMES] == [True, True, True, False, True, True]


@pytest.mark.parametrize(
    "end",
    ["Uptime: 1s\n", "KDB: enter: panic\n", "db> ", "Rebooting...\n", "", "line\n" * 40],
)
def test_backtrace_without_a_last_frame_ends_with_what_follows(end: str) -> None:
    told = read("KDB: stack backtrace:\nbtext() at btext+0x22\n" + end)
    assert told[0] == e.Backtrace(22, (Frame("btext", 0x22),))


def test_backtrace_ends_at_a_system_call() -> None:
    console = (
        "KDB: stack backtrace:\n"
        "amd64_syscall() at amd64_syscall+0x1/frame 0x10\n"
        "--- syscall (54, FreeBSD ELF64, ioctl), rip = 0x4009ca, rsp = 0x7f, rbp = 0x7f ---\n"
        "late() at late+0x1\n"
    )
    assert read(console)[0] == e.Backtrace(22, (Frame("amd64_syscall", 1, 0x10),))


def test_backtrace_keeps_the_innermost_frames_of_a_runaway_recursion() -> None:
    told = one("KDB: stack backtrace:\n" + "again() at again+0x1\n" * 5000)
    assert isinstance(told, e.Backtrace)
    assert len(told.frames) == 256


TRAP = """\


Fatal trap 12: page fault while in kernel mode
cpuid = 1; apic id = 01
fault virtual address\t= 0x30
fault code\t\t= supervisor write data, page not present
instruction pointer\t= 0x20:0xffffffff80e2ff4a
stack pointer\t        = 0x28:0xffffffff8184fd10
frame pointer\t        = 0x28:0xffffffff8184fd30
code segment\t\t= base 0x0, limit 0xfffff, type 0x1b
\t\t\t= DPL 0, pres 1, long 1, def32 0, gran 1
processor eflags\t= interrupt enabled, resume, IOPL = 0
current process\t\t= 0 (swapper)
rdi: 0000000000000000 rsi: 0000000000000001 rdx: 0000000000000002
trap number\t\t= 12
"""


def test_fatal_trap_has_its_table() -> None:
    assert one(TRAP) == e.FatalTrap(
        offset=2,
        number=12,
        name="page fault",
        mode="kernel",
        cpu=1,
        fault_address=0x30,
        fault_code="supervisor write data, page not present",
        instruction_pointer=0xFFFFFFFF80E2FF4A,
        process="0 (swapper)",
    )


def test_fatal_trap_comes_before_the_panic_that_follows_it() -> None:
    told = read(f"{TRAP}panic: page fault\n{PANIC_TAIL}{BACKTRACE}")
    assert [type(event) for event in told[:3]] == [e.FatalTrap, e.Panic, e.Backtrace]


def test_fatal_trap_cut_short_by_the_panic_is_told_with_what_came() -> None:
    told = read(
        f"Fatal trap 9: general protection fault while in kernel mode\npanic: x\n{PANIC_TAIL}"
    )
    assert told[0] == e.FatalTrap(0, 9, "general protection fault", "kernel")
    assert told[1] == e.Panic(60, "x", 3)


def test_double_fault_is_a_fatal_trap() -> None:
    told = read(
        "\nFatal double fault\nrip 0xffffffff80e2ff4a rsp 0x10 rbp 0x20\n"
        f"rax 0x1 rdx 0x2 rbx 0x3\ncpuid = 0; apic id = 00\npanic: double fault\n{PANIC_TAIL}"
    )
    assert told[0] == e.FatalTrap(
        1, 23, "double fault", "kernel", cpu=0, instruction_pointer=0xFFFFFFFF80E2FF4A
    )


@pytest.mark.parametrize(
    ("message", "sanitizer"),
    [
        (
            "ASan: Invalid access, 8-byte read at 0xfffffe0012345678, MallocRedZone(fb)",
            "kasan",
        ),
        ("MSan: Uninitialized UMA memory from foo+0x12", "kmsan"),
        ("MSan: uninitialized variable in 0xffffffff80e2ff4a", "kmsan"),
    ],
)
def test_sanitizer_report_without_a_panic_has_its_own_backtrace(
    message: str, sanitizer: str
) -> None:
    told = in_kernel(
        f"{message}\n#0 0xffffffff80c0f5a1 at foo+0x65\n#1 0xffffffff80c0f5b2 at bar+0\n"
    )
    assert told[0] == e.SanitizerReport(15, sanitizer, message)
    assert isinstance(told[1], e.Backtrace)
    assert told[1].frames == (
        Frame("foo", 0x65, None, 0xFFFFFFFF80C0F5A1),
        Frame("bar", 0, None, 0xFFFFFFFF80C0F5B2),
    )


def test_sanitizer_report_that_panics_is_a_panic_with_that_message() -> None:
    message = "ASan: Invalid access, 8-byte read at 0xfffffe0012345678, MallocRedZone(fb)"
    assert one(f"panic: {message}\n{PANIC_TAIL}") == e.Panic(0, message, 3)


def test_lock_order_reversal_names_its_locks() -> None:
    told = in_kernel(
        "lock order reversal: (sleepable after non-sleepable)\n"
        " 1st 0xfffff80003abc368 filedesc structure (filedesc structure, sx) @ sys/kern/a.c:1000\n"
        " 2nd 0xfffff80003def5f0 ufs (ufs, lockmgr) @ sys/kern/b.c:2000\n"
        "lock order filedesc structure -> ufs attempted at:\n"
        "#0 0xffffffff80c0f5a1 at witness_checkorder+0xbb\n"
        "#1 0xffffffff80c0f5b2 at __lockmgr_args+0x1\n"
    )
    assert told[0] == e.LockOrderReversal(
        15,
        (
            "filedesc structure (filedesc structure, sx) @ sys/kern/a.c:1000",
            "ufs (ufs, lockmgr) @ sys/kern/b.c:2000",
        ),
        "lock order reversal: (sleepable after non-sleepable)",
    )
    assert isinstance(told[1], e.Backtrace)
    assert told[1].frames[0].function == "witness_checkorder"


def test_line_beyond_the_limit_is_kept_up_to_it_and_marked() -> None:
    text = b"Rebooting..." + b" " * (MAX_LINE + 1000) + b"panic: unseen\n---<<BOOT>>---\n"
    told = read(text)
    length = text.index(b"\n")
    assert told == [
        e.Shutdown(0, ShutdownStep.REBOOTING),
        e.LineCutShort(0, length),
        e.MessagesBegin(length + 1),
    ]


def test_line_of_exactly_the_limit_is_whole() -> None:
    assert read(b"x" * MAX_LINE + b"\n") == []
    assert read(b"x" * (MAX_LINE + 1) + b"\n") == [e.LineCutShort(0, MAX_LINE + 1)]


def test_parser_keeps_no_more_of_an_endless_line_than_its_limit() -> None:
    parser = ConsoleParser()
    block = b"x" * 1_000_000
    for _ in range(100):
        assert parser.feed(block) == []
        assert len(parser._tail) <= MAX_LINE
    assert parser.close() == [e.LineCutShort(0, 100_000_000)]


def test_flood_of_one_kind_is_cut_off_and_does_not_drown_another() -> None:
    flood = "WARNING: again\n" * (MAX_EVENTS + 500)
    told = read(flood + f"panic: at last\n{PANIC_TAIL}")
    assert len(told) == MAX_EVENTS + 2
    assert told[MAX_EVENTS] == e.EventsDropped(MAX_EVENTS * 15, "KernelWarning")
    assert isinstance(told[-1], e.Panic)


def test_a_report_is_told_once_however_often_it_is_printed() -> None:
    access = "[Cpu{cpu} {kind} Addr=0x1{number:x} Size=4 PC=0xff<{function}>]"
    races = [
        "CSan: Racy Access "
        + access.format(cpu=number % 4, kind="Write", number=number, function="f")
        + " "
        + access.format(cpu=9, kind="Read", number=number, function="g")
        for number in range(1000)
    ]
    overflow = "UBSan: Undefined Behavior in a.c:1:2, shift exponent 40 is too large"
    told = read("\n".join([*races, overflow, *races, ""]))
    assert [event.title for event in told if isinstance(event, e.SanitizerFinding)] == [
        "CSan: Racy Access, Read in g, Write in f",
        "UBSan: Undefined Behavior in a.c, shift exponent N is too large",
    ]


def test_reports_of_ever_other_titles_come_to_an_end() -> None:
    lines = b"".join(b"UBSan: %s\n" % (b"x" * number) for number in range(1, 1000))
    told = read(lines)
    assert sum(isinstance(event, e.SanitizerFinding) for event in told) == MAX_EVENTS
    assert e.EventsDropped.__name__ in {type(event).__name__ for event in told}


def test_a_flood_of_one_report_is_read_up_to_a_limit_and_then_said_to_be_dropped() -> None:
    parser = ConsoleParser()
    lines = (f"CSan: Racy Access {number}\r\n".encode() for number in range(MAX_REPEATS + 10))
    events = parser.feed(b"".join(lines))
    assert [type(event).__name__ for event in events] == ["SanitizerFinding", "EventsDropped"]
