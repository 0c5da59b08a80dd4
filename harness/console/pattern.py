"""Patterns of console lines: name, needle, regular expression, event."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from harness.console import events as e
from harness.console.eventkinds import LoaderFault, ShutdownStep, WarningKind

if TYPE_CHECKING:
    from harness.console.events import Event

MAX_TEXT = 1024
"""Characters of a line that an event keeps."""

Match = re.Match[str]


class Name(StrEnum):
    """The names of patterns."""

    PROBE_LINE = "probe line"
    SERVICE_READY = "service ready"
    PANIC = "panic"
    FATAL_TRAP = "fatal trap"
    FATAL_DOUBLE_FAULT = "fatal double fault"
    SANITIZER_REPORT = "sanitizer report"
    SANITIZER_FINDING = "sanitizer finding"
    BACKTRACE = "backtrace"
    THREAD_BACKTRACE = "thread backtrace"
    DEBUGGER_BACKTRACE = "debugger backtrace"
    COMMAND_BACKTRACE = "command backtrace"
    FRAME = "frame"
    STACK_FRAME = "stack frame"
    KERNEL_ENTRY = "kernel entry"
    LOCK_ORDER_REVERSAL = "lock order reversal"
    LOCK_ORDER = "lock order"
    DUPLICATE_LOCK = "duplicate lock"
    LOCKS_HELD = "locks held"
    SLEEPING_THREAD = "sleeping thread"
    ASSERTION = "assertion"
    TRAP_WITHOUT_INTERRUPTS = "trap without interrupts"
    DEBUGGER_ENTERED = "debugger entered"
    DEBUGGER_THREAD = "debugger thread"
    DEBUGGER_STOPPED = "debugger stopped"
    DEBUGGER_SCRIPT = "debugger script"
    UPTIME = "uptime"
    AUTOMATIC_REBOOT = "automatic reboot"
    REBOOTING = "rebooting"
    POWERING_OFF = "powering off"
    HALTED = "halted"
    FIRMWARE_STARTED = "firmware started"
    FIRMWARE_FAILED = "firmware failed"
    FIRMWARE_SHELL = "firmware shell"
    FIRMWARE_EXCEPTION = "firmware exception"
    BHYVE_STOPPED = "bhyve stopped the guest"
    XEN_STOPPED = "Xen stopped the guest"
    KVM_FAILED = "KVM internal error"
    KVM_REFUSED = "KVM entry failed"
    LOADER_STARTED = "loader started"
    BOOT_BLOCK_STARTED = "boot block started"
    BIOS_LOADER_STARTED = "BIOS loader started"
    BIOS_LOADER_HALTED = "BIOS loader halted"
    MODULES_LOADING = "modules loading"
    LOADER_PANICKED = "loader panicked"
    LOADER_ERROR = "loader error"
    LOADER_ZFS = "loader ZFS"
    LOADER_ZFS_POOL = "loader ZFS pool"
    BOOT_BLOCK_FAILED = "boot block failed"
    LOADER_IMAGE = "loader image"
    LOADER_CANNOT = "loader cannot"
    LOADER_UNKNOWN_FORMAT = "loader unknown format"
    LOADER_NO_KERNEL = "loader no kernel"
    LOADER_NO_MEMORY = "loader no memory"
    LOADER_ELF = "loader elf"
    LOADER_UNABLE = "loader unable"
    LOADER_FIRMWARE_CALL = "loader firmware call"
    FILES_UNLOADED = "files unloaded"
    KERNEL_LOADING = "kernel loading"
    FILE_LOADING = "file loading"
    MODULE_LOADING = "module loading"
    KERNEL_ENTERED = "kernel entered"
    MESSAGES_BEGIN = "messages begin"
    KERNEL_STARTED = "kernel started"
    BUILT_IN_STARTED = "built-in guest started"
    SRAT_REFUSED = "SRAT refused"
    DOMAIN_EMPTY = "domain empty"
    CPUS_DETECTED = "CPUs detected"
    CPUS_LAUNCHED = "CPUs launched"
    CPU_LAUNCHED = "CPU launched"
    DEVICE_SCAN = "device scan"
    MOUNT_ROOT = "mount root"
    MOUNT_ROOT_FAILED = "mount root failed"
    INIT_STARTED = "init started"
    WARNING = "warning"
    LINUX_WARNING = "Linux warning"
    ITEMS_LEFT = "items left"
    ZONE_LIMIT = "zone limit"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A kind of line.

    ``build`` returns the event. Without it, the line starts a block of several lines, which the
    parser selects by the pattern's name. ``ends_failure``: the line ends the block before it.
    ``emits`` is the class of the events, if several patterns have the same one, or if events of
    that class change the parser's state even when they are dropped.
    """

    name: Name
    needle: str
    regex: re.Pattern[str]
    build: Callable[[int, Match], Event] | None = None
    before_kernel_only: bool = False
    ends_failure: bool = False
    emits: type[Event] | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """Text at the start of a line after which the guest waits for input; no line end follows."""

    text: str
    build: Callable[[int], Event]
    before_kernel_only: bool = False


def clip(text: str) -> str:
    """Return ``text`` stripped, cut to MAX_TEXT characters, with unprintable ones as blanks."""
    text = text.strip()[:MAX_TEXT]
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text).strip()


def pattern(
    name: Name,
    needle: str,
    regex: str,
    build: Callable[[int, Match], Event] | None = None,
    *,
    before_kernel_only: bool = False,
    ends_failure: bool = False,
    emits: type[Event] | None = None,
) -> Pattern:
    """Return a pattern with a compiled regular expression."""
    return Pattern(
        name,
        needle,
        re.compile(regex, re.ASCII),
        build,
        before_kernel_only,
        ends_failure,
        emits,
    )


def warning_pattern(name: Name, needle: str, regex: str, kind: WarningKind) -> Pattern:
    """Return the pattern of a warning after which the boot continues."""
    return pattern(
        name,
        needle,
        regex,
        lambda at, m: e.KernelWarning(at, kind, clip(m["text"])),
        emits=e.KernelWarning,
    )


def shutdown_pattern(name: Name, needle: str, regex: str, step: ShutdownStep) -> Pattern:
    """Return the pattern of a step of the kernel's shutdown."""
    return pattern(name, needle, regex, lambda at, _: e.Shutdown(at, step), ends_failure=True)


def loader_error(
    name: Name, needle: str, regex: str, fault: LoaderFault = LoaderFault.FATAL
) -> Pattern:
    """Return the pattern of a loader's error, which is searched for before the kernel only."""
    return pattern(
        name,
        needle,
        regex,
        lambda at, m: e.LoaderFailed(at, clip(m["text"]), fault),
        before_kernel_only=True,
        emits=e.LoaderFailed,
    )


def numbers(text: str) -> tuple[int, ...]:
    """Return the first 1024 numbers of a list."""
    return tuple(int(word) for word in text.split()[:1024])
