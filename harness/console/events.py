"""What a console says, as values: one frozen class for each thing worth knowing.

``offset`` is the byte of the console at which the line begins that the event was read from.
Events carry no times: they are the same for a live guest and for a stored console, and whoever
feeds the parser stamps them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

UNKNOWN_FUNCTION = "??"
"""DDB's name for a function without a symbol."""


class WarningKind(StrEnum):
    """What a line complains of that does not end the boot."""

    LOCK_ORDER = "lock order reversal"
    DUPLICATE_LOCK = "duplicate lock"
    LOCKS_HELD = "locks held"
    SLEEPING_THREAD = "sleeping thread"
    ASSERTION = "assertion"
    TRAP = "trap with interrupts disabled"
    UNPROVEN_PANIC = "the word panic without what the kernel prints after it"
    OTHER = "warning"


class LoaderFault(IntEnum):
    """How much a complaint of the loader explains: the first of the highest is the cause."""

    RESULT = 1
    """what follows from another failure: no kernel was loaded"""
    REFUSED = 2
    """a file that was not found or not taken"""
    FATAL = 3
    """the loader cannot go on"""


class TraceOrigin(StrEnum):
    """What announced a backtrace."""

    KDB = "KDB"
    """``KDB: stack backtrace:``, of the thread that prints it"""
    WITNESS = "witness"
    """``stack backtrace:``"""
    THREAD = "thread"
    """of a thread that is named, by ``KDB: stack backtrace of thread`` or DDB's ``alltrace``"""
    DEBUGGER = "debugger"
    """DDB's ``bt``, of the thread that entered the debugger unless it names another"""
    NONE = "none"
    """nothing: the line before the frames is lost"""


class ShutdownStep(StrEnum):
    """How far the kernel's own way out has come (sys/kern/kern_shutdown.c)."""

    UPTIME = "uptime"
    AUTOMATIC_REBOOT = "automatic reboot"
    REBOOTING = "rebooting"
    POWERING_OFF = "powering off"
    HALTED = "halted"


@dataclass(frozen=True, slots=True)
class Event:
    """Something read from the console; ``offset`` in bytes from the console's first byte."""

    offset: int


# Firmware and loader


@dataclass(frozen=True, slots=True)
class FirmwareStarted(Event):
    """EDK II's boot manager tries a boot option."""

    option: str


@dataclass(frozen=True, slots=True)
class FirmwareFailed(Event):
    """EDK II found nothing to boot, or fell back to its own shell."""

    text: str


@dataclass(frozen=True, slots=True)
class FirmwareException(Event):
    """A CPU exception that EDK II's handler caught; ``vector`` is its number, if it has one."""

    vector: int
    name: str


@dataclass(frozen=True, slots=True)
class LoaderStarted(Event):
    """FreeBSD's loader names itself."""

    revision: str


@dataclass(frozen=True, slots=True)
class FileLoading(Event):
    """The loader reads a kernel, a module or a memory disk."""

    path: str


@dataclass(frozen=True, slots=True)
class FilesUnloaded(Event):
    """The loader dropped what it had loaded, because a setting changed."""

    text: str


@dataclass(frozen=True, slots=True)
class LoaderFailed(Event):
    """The loader prints what it cannot do."""

    text: str
    fault: LoaderFault = LoaderFault.REFUSED


@dataclass(frozen=True, slots=True)
class ModulesLoading(Event):
    """The loader begins with the files that loader.conf lists, most of which may be missing."""


@dataclass(frozen=True, slots=True)
class LoaderPrompt(Event):
    """The loader waits for a human."""


@dataclass(frozen=True, slots=True)
class KernelEntered(Event):
    """The loader's last line before it jumps to the kernel at ``entry``."""

    entry: int


# The kernel on its way up


@dataclass(frozen=True, slots=True)
class MessagesBegin(Event):
    """``---<<BOOT>>---``: the kernel's message buffer begins."""


@dataclass(frozen=True, slots=True)
class KernelStarted(Event):
    """The kernel's version; ``ident`` names its configuration, empty where it does not say."""

    release: str
    ident: str
    machine: str
    version: str


@dataclass(frozen=True, slots=True)
class SratRefused(Event):
    """The kernel dropped the ACPI SRAT: all memory is one domain from here on."""

    reason: str


@dataclass(frozen=True, slots=True)
class DomainEmpty(Event):
    """A memory domain that has CPUs and no memory."""

    domain: int


@dataclass(frozen=True, slots=True)
class CpusDetected(Event):
    """How many CPUs the kernel found."""

    count: int


@dataclass(frozen=True, slots=True)
class CpusLaunched(Event):
    """CPUs other than the boot CPU that run."""

    cpus: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DeviceScan(Event):
    """The first PCI bus was found: the long part of the device probe begins."""

    device: str


@dataclass(frozen=True, slots=True)
class MountRoot(Event):
    """The kernel tries to mount its root from ``source`` (``ufs:/dev/md0``)."""

    source: str


@dataclass(frozen=True, slots=True)
class MountRootFailed(Event):
    """A root file system that did not mount; ``error`` is an errno."""

    source: str
    error: int
    retrying: bool


@dataclass(frozen=True, slots=True)
class MountRootPrompt(Event):
    """``mountroot>``: no root was mounted and the kernel waits for a human."""


@dataclass(frozen=True, slots=True)
class InitStarted(Event):
    """The kernel tries an init."""

    path: str


@dataclass(frozen=True, slots=True)
class LoginPrompt(Event):
    """``login: ``: getty(8) waits for a user."""


# Our own init


@dataclass(frozen=True, slots=True)
class ProbeRecord(Event):
    """One checked line of the guest's report; see ``harness.console.probe``."""

    number: int
    name: str
    fields: tuple[tuple[str, str], ...]
    nonce: str = ""


@dataclass(frozen=True, slots=True)
class ProbeLineCorrupt(Event):
    """A line that looks like one of the report and is none; ``reason`` says why."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class ProbeConflict(Event):
    """A second record of a number, unlike the first, and both checksums hold."""

    number: int
    nonce: str
    text: str


@dataclass(frozen=True, slots=True)
class ReportComplete(Event):
    """Every record of the guest's report is there, its end included."""

    records: int
    nonce: str = ""


# Trouble


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a backtrace.

    ``symbol_offset`` is in bytes from the start of ``function``; ``pc`` is known where the console
    prints it. ``entry`` is what entered the kernel there (``trap 0xc``, ``interrupt``): then the
    address is where the CPU stood, otherwise it is a return address.
    """

    function: str
    symbol_offset: int = 0
    frame_pointer: int | None = None
    pc: int | None = None
    entry: str = ""

    @property
    def is_return_address(self) -> bool:
        """Whether the call stands before the address, not at it."""
        return not self.entry


@dataclass(frozen=True, slots=True)
class Backtrace(Event):
    """Frames, innermost first.

    ``announced`` is the offset of the line that announced them, if there was one, ``offset``
    that of the first frame. ``thread`` is the thread's number where the console gives it.
    """

    frames: tuple[Frame, ...]
    origin: TraceOrigin = TraceOrigin.KDB
    thread: int | None = None
    announced: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Panic(Event):
    """``panic:`` with what the kernel prints after it (sys/kern/kern_shutdown.c, vpanic).

    ``before`` are the lines right before it that no pattern knows: some messages are explained
    there.
    """

    message: str
    cpu: int | None
    before: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class FatalTrap(Event):
    """A trap the kernel does not survive (sys/*/*/trap.c, trap_fatal)."""

    number: int
    name: str
    mode: str
    cpu: int | None = None
    fault_address: int | None = None
    fault_code: str = ""
    instruction_pointer: int | None = None
    process: str = ""


@dataclass(frozen=True, slots=True)
class SanitizerReport(Event):
    """A report that did not panic (``debug.*.panic_on_violation=0``); ``sanitizer`` is its name."""

    sanitizer: str
    message: str


@dataclass(frozen=True, slots=True)
class SanitizerFinding(Event):
    """A report of a sanitizer that prints and goes on; ``title`` is fit for comparing."""

    title: str
    message: str


@dataclass(frozen=True, slots=True)
class LockOrderReversal(Event):
    """WITNESS: two locks taken in both orders (sys/kern/subr_witness.c)."""

    locks: tuple[str, ...]
    detail: str


@dataclass(frozen=True, slots=True)
class KernelWarning(Event):
    """A complaint that does not end the boot."""

    kind: WarningKind
    text: str


@dataclass(frozen=True, slots=True)
class DebuggerEntered(Event):
    """``KDB: enter``: the kernel goes to its debugger, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class DebuggerThread(Event):
    """``[ thread pid 0 tid 100000 ]``: the thread that entered DDB (sys/ddb/db_thread.c)."""

    thread: int


@dataclass(frozen=True, slots=True)
class DebuggerStopped(Event):
    """``Stopped at``: where the thread stood when it entered DDB (sys/ddb/db_main.c)."""

    function: str
    symbol_offset: int


@dataclass(frozen=True, slots=True)
class DebuggerScript(Event):
    """``db:0:kdb.enter.panic> bt``: a command of a DDB script (sys/ddb/db_script.c)."""

    script: str


@dataclass(frozen=True, slots=True)
class DebuggerPrompt(Event):
    """``db>``: the kernel waits for a human."""


@dataclass(frozen=True, slots=True)
class DebuggerResumed(Event):
    """``db> continue``: somebody let the kernel go on (sys/ddb/db_command.c, db_cmds[])."""


@dataclass(frozen=True, slots=True)
class Shutdown(Event):
    """A step of the kernel's own way out."""

    step: ShutdownStep


# The console itself


@dataclass(frozen=True, slots=True)
class ParseFailed(Event):
    """A line that the parser failed on, which is a bug of the parser; the next ones are read."""

    error: str
    text: str


@dataclass(frozen=True, slots=True)
class LineCutShort(Event):
    """A line longer than the parser keeps; ``length`` is the whole line's, in bytes."""

    length: int


@dataclass(frozen=True, slots=True)
class EventsDropped(Event):
    """Further events of this kind are not reported: a guest may print without end."""

    kind: str
