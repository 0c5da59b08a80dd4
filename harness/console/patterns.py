"""The table of console patterns.

Each pattern has a name, a needle and a regular expression. The needle is a literal that every line
of its kind contains; the parser skips lines without any needle. The formats are those of the
FreeBSD 13.2 and 15.1 sources; a comment names the source. What firmware and loaders print is in
``harness.console.bootpatterns``.

The first pattern that matches a line decides its kind. A guest may print anything, so every
expression takes linear time.
"""

from __future__ import annotations

from harness import arch
from harness.console import events as e
from harness.console.bootpatterns import FIRMWARE, HYPERVISOR, LOADER
from harness.console.eventkinds import ShutdownStep, WarningKind
from harness.console.pattern import (
    Match,
    Name,
    Pattern,
    Prompt,
    clip,
    numbers,
    pattern,
    shutdown_pattern,
    warning_pattern,
)
from harness.console.titles import report_title
from harness.sanitizers import TABLE


def _finding(offset: int, found: Match) -> e.SanitizerFinding:
    message = clip(found["message"])
    return e.SanitizerFinding(offset, report_title(message), message)


_TROUBLE = (
    # the guest's init, in the format of harness.console.probe
    pattern(Name.PROBE_LINE, "@harness ", r"@harness (?P<text>.*)"),
    # images/world/harness_ready; a line that was torn by the kernel is printed once more
    pattern(
        Name.SERVICE_READY,
        "@harness-ready ",
        r"@harness-ready (?P<nonce>[0-9a-f]{16}) (?P<service>ssh|nothing)\.",
        lambda offset, found: e.ServiceReady(offset, found["nonce"], found["service"]),
    ),
    # sys/kern/kern_shutdown.c, vpanic()
    pattern(Name.PANIC, "panic: ", r"(?<![\w-])panic: (?P<message>.*)"),
    # sys/*/*/trap.c, trap_fatal() and dblfault_handler()
    pattern(
        Name.FATAL_TRAP,
        "Fatal trap ",
        r"Fatal trap (?P<number>\d{1,4}): (?P<name>.{1,200}) while in (?P<mode>kernel|user) mode",
    ),
    pattern(Name.FATAL_DOUBLE_FAULT, "Fatal double fault", r"Fatal double fault\s*$"),
    pattern(
        Name.SANITIZER_REPORT,
        "San: ",
        rf"(?P<message>{'|'.join(row.report for row in TABLE if row.outcome)})",
    ),
    pattern(
        Name.SANITIZER_FINDING,
        "San: ",
        rf"^(?P<message>{'|'.join(row.report for row in TABLE if not row.outcome)})",
        _finding,
        emits=e.SanitizerFinding,
    ),
    # sys/kern/subr_kdb.c kdb_backtrace(), sys/kern/subr_witness.c witness_debugger()
    pattern(Name.BACKTRACE, "stack backtrace", r"(?:(?P<kdb>KDB: )|^)stack backtrace:"),
    pattern(
        Name.THREAD_BACKTRACE,
        "stack backtrace",
        r"KDB: stack backtrace of thread (?P<thread>\d{1,10}):",
    ),
    # sys/ddb/db_command.c, db_stack_trace() and _db_stack_trace_all()
    pattern(
        Name.DEBUGGER_BACKTRACE,
        "Tracing ",
        r"^Tracing pid -?\d{1,10} tid (?P<thread>\d{1,10}) td 0x",
    ),
    pattern(
        Name.COMMAND_BACKTRACE,
        "Tracing ",
        r"^Tracing command .{1,64}? pid \d{1,10} tid (?P<thread>\d{1,10}) td 0x",
    ),
    # sys/ddb/db_main.c db_trap(), db_thread.c db_print_thread(), db_script.c db_script_exec()
    pattern(
        Name.DEBUGGER_THREAD,
        "[ thread pid ",
        r"^\[ thread pid -?\d{1,10} tid (?P<thread>\d{1,10}) \]",
        lambda at, m: e.DebuggerThread(at, int(m["thread"])),
        ends_failure=True,
    ),
    pattern(
        Name.DEBUGGER_STOPPED,
        "Stopped at",
        r"^Stopped at\s+(?P<function>[A-Za-z_][\w.$]{0,255})"
        r"(?:\+0x(?P<offset>[0-9a-f]{1,16}))?:",
        lambda at, m: e.DebuggerStopped(at, m["function"], int(m["offset"] or "0", 16)),
        ends_failure=True,
    ),
    pattern(
        Name.DEBUGGER_SCRIPT,
        ":kdb.enter.",
        r"^db:\d{1,2}:(?P<script>kdb\.enter\.[\w.-]{1,128})> ",
        lambda at, m: e.DebuggerScript(at, m["script"]),
        ends_failure=True,
    ),
    # sys/kern/subr_witness.c, witness_checkorder() and witness_warn()
    pattern(Name.LOCK_ORDER_REVERSAL, "lock order reversal:", r"^(?P<text>lock order reversal:.*)"),
    pattern(Name.LOCK_ORDER, "lock order ", r"^lock order .* (?:established|attempted) at:"),
    warning_pattern(
        Name.DUPLICATE_LOCK,
        "acquiring duplicate lock",
        r"(?P<text>acquiring duplicate lock of same type.*)",
        WarningKind.DUPLICATE_LOCK,
    ),
    warning_pattern(
        Name.LOCKS_HELD,
        "locks held:",
        r"^(?P<text>.{1,200}? with the following .{0,40}locks held:)",
        WarningKind.LOCKS_HELD,
    ),
    # sys/kern/subr_turnstile.c, propagate_priority()
    warning_pattern(
        Name.SLEEPING_THREAD,
        "Sleeping thread",
        r"(?P<text>Sleeping thread .*)",
        WarningKind.SLEEPING_THREAD,
    ),
    # sys/kern/kern_shutdown.c, kassert_panic()
    warning_pattern(
        Name.ASSERTION, "KASSERT failed: ", r"(?P<text>KASSERT failed: .*)", WarningKind.ASSERTION
    ),
    # sys/*/*/trap.c, trap()
    warning_pattern(
        Name.TRAP_WITHOUT_INTERRUPTS,
        "kernel trap ",
        r"(?P<text>kernel trap \d+ with interrupts disabled)",
        WarningKind.TRAP,
    ),
    # sys/kern/subr_kdb.c, kdb_enter()
    pattern(
        Name.DEBUGGER_ENTERED,
        "KDB: enter: ",
        r"KDB: enter: (?P<reason>.*)",
        lambda at, m: e.DebuggerEntered(at, clip(m["reason"])),
        ends_failure=True,
    ),
    # frames without the line that announces them (harness.console.frames)
    pattern(Name.FRAME, "() at ", r"^\S{1,255}\(\) at "),
    pattern(Name.STACK_FRAME, " 0xffffffff", r"^#\d{1,4} 0xffffffff[0-9a-f]{8} at "),
    *(
        pattern(
            Name.KERNEL_ENTRY,
            row.console.entry_text,
            rf"^--- (?:trap|syscall|interrupt)\b.*{row.console.entry_text}",
        )
        for row in arch.TABLE
    ),
)

_WAY_OUT = (
    # sys/kern/kern_shutdown.c: print_uptime(), shutdown_panic(), shutdown_reset(), shutdown_halt()
    shutdown_pattern(Name.UPTIME, "Uptime: ", r"Uptime: (?:\d+[dhms])+\s*$", ShutdownStep.UPTIME),
    shutdown_pattern(
        Name.AUTOMATIC_REBOOT,
        "Automatic reboot in ",
        r"Automatic reboot in \d+ seconds",
        ShutdownStep.AUTOMATIC_REBOOT,
    ),
    shutdown_pattern(
        Name.REBOOTING, "Rebooting...", r"Rebooting\.\.\.\s*$", ShutdownStep.REBOOTING
    ),
    shutdown_pattern(
        Name.HALTED,
        "operating system has halted",
        r"The operating system has halted\.",
        ShutdownStep.HALTED,
    ),
    # sys/dev/acpica/acpi.c, acpi_shutdown_final()
    shutdown_pattern(
        Name.POWERING_OFF,
        "Powering system off",
        r"acpi\d+: Powering system off",
        ShutdownStep.POWERING_OFF,
    ),
)

_KERNEL = (
    # sys/kern/subr_prf.c, BOOT_TAG
    pattern(
        Name.MESSAGES_BEGIN,
        "---<<BOOT>>---",
        r"---<<BOOT>>---",
        lambda at, _: e.MessagesBegin(at),
        emits=e.MessagesBegin,
        ends_failure=True,
    ),
    # sys/conf/newvers.sh, VERSTR
    pattern(
        Name.KERNEL_STARTED,
        "FreeBSD ",
        r"^FreeBSD (?P<release>\d{1,3}\.\d{1,3}-\S{1,64}) (?P<version>.*)",
    ),
    # images/embedded/report.c
    pattern(
        Name.BUILT_IN_STARTED,
        "embedded-",
        r"^(?P<release>embedded-\d{1,8}) (?P<ident>[\w.-]{1,64}), (?P<version>(?:after|before) .*)",
        lambda at, m: e.KernelStarted(
            at, m["release"], m["ident"], arch.GUEST.name, clip(m["version"])
        ),
        emits=e.KernelStarted,
    ),
    # sys/dev/acpica/acpi_pxm.c: srat_parse_entry(), check_domains(), check_phys_avail()
    pattern(
        Name.SRAT_REFUSED,
        "SRAT: ",
        r"SRAT: (?P<reason>No CPU found for memory domain \d+|No memory region found for .*"
        r"|Duplicate local APIC ID .*|Overlapping memory entries"
        r"|Too many memory (?:regions|domains).*)",
        lambda at, m: e.SratRefused(at, clip(m["reason"])),
    ),
    pattern(
        Name.DOMAIN_EMPTY,
        "SRAT: mem dom",
        r"SRAT: mem dom (?P<domain>\d{1,4}) is empty",
        lambda at, m: e.DomainEmpty(at, int(m["domain"])),
    ),
    # sys/kern/subr_smp.c, mp_start()
    pattern(
        Name.CPUS_DETECTED,
        "System Detected: ",
        r"FreeBSD/SMP: Multiprocessor System Detected: (?P<count>\d{1,5}) CPUs",
        lambda at, m: e.CpusDetected(at, int(m["count"])),
    ),
    pattern(
        Name.CPUS_LAUNCHED,
        "Launching APs: ",
        r"Launching APs: (?P<cpus>\d{1,5}(?: \d{1,5})*)(?!\d)",
        lambda at, m: e.CpusLaunched(at, numbers(m["cpus"])),
    ),
    pattern(
        Name.CPU_LAUNCHED,
        "SMP: AP CPU #",
        r"SMP: AP CPU #(?P<cpu>\d{1,5}) Launched!",
        lambda at, m: e.CpusLaunched(at, (int(m["cpu"]),)),
    ),
    pattern(
        Name.DEVICE_SCAN,
        "pci0: <",
        r"(?<!\w)(?P<device>pci0): <[^>]{0,64}PCI bus>",
        lambda at, m: e.DeviceScan(at, m["device"]),
    ),
    # sys/kern/vfs_mountroot.c, parse_mount()
    pattern(
        Name.MOUNT_ROOT,
        "Trying to mount root from ",
        r"Trying to mount root from (?P<source>\S{1,255}) \[",
        lambda at, m: e.MountRoot(at, m["source"]),
    ),
    pattern(
        Name.MOUNT_ROOT_FAILED,
        "Mounting from ",
        r"Mounting from (?P<source>\S{1,255}) failed with error (?P<error>\d{1,5})"
        r"(?P<retrying>; retrying)?",
        lambda at, m: e.MountRootFailed(at, m["source"], int(m["error"]), bool(m["retrying"])),
    ),
    # sys/kern/init_main.c, start_init()
    pattern(
        Name.INIT_STARTED,
        "start_init: trying ",
        r"start_init: trying (?P<path>\S{1,255})",
        lambda at, m: e.InitStarted(at, m["path"]),
    ),
    # sys/compat/linuxkpi/common/include/linux/kernel.h, WARN_ON(), which prints its frames
    warning_pattern(
        Name.LINUX_WARNING,
        "WARNING",
        r"^(?P<text>(?:[\w./:-]{1,64} )?WARNING .{1,200} failed at .*)",
        WarningKind.OTHER,
    ),
    # what the zone allocator prints when a zone with items is destroyed, and at a zone's limit
    warning_pattern(
        Name.ITEMS_LEFT,
        "Freed UMA keg",
        r"(?P<text>Freed UMA keg \(.{0,64}\) was not empty \(.*)",
        WarningKind.OTHER,
    ),
    warning_pattern(
        Name.ZONE_LIMIT, "[zone: ", r"^(?P<text>\[zone: .{1,64}\] .*)", WarningKind.OTHER
    ),
    warning_pattern(
        Name.WARNING, "WARNING", r"(?P<text>(?:^[\w.-]{1,32}: )?WARNING: .*)", WarningKind.OTHER
    ),
)

PATTERNS: tuple[Pattern, ...] = _TROUBLE + _WAY_OUT + HYPERVISOR + FIRMWARE + LOADER + _KERNEL

PROMPTS: tuple[Prompt, ...] = (
    # sys/ddb/db_command.c, db_command_loop()
    Prompt("db> ", e.DebuggerPrompt),
    # sys/kern/vfs_mountroot.c, parse_dir_ask()
    Prompt("mountroot> ", e.MountRootPrompt),
    # libexec/getty/main.c
    Prompt("login: ", e.LoginPrompt),
    # stand/common/interp.c, interp_emit_prompt()
    Prompt("OK ", e.LoaderPrompt, before_kernel_only=True),
)
