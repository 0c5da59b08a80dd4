"""Events of a console: one frozen class for each kind.

Events have no times, so that they are equal for a running guest and a stored console; the caller
of the parser adds them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.console.eventkinds import LoaderFault, ShutdownStep, TraceOrigin, WarningKind

UNKNOWN_FUNCTION = "??"
"""DDB's name for an address without a symbol."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event; ``offset`` is that of its line, in bytes from the start of the console."""

    offset: int


# Firmware and loader


@dataclass(frozen=True, slots=True)
class FirmwareStarted(Event):
    """EDK II's boot manager tries a boot option."""

    option: str


@dataclass(frozen=True, slots=True)
class FirmwareFailed(Event):
    """EDK II found no boot option, or started its shell."""

    text: str


@dataclass(frozen=True, slots=True)
class GuestStopped(Event):
    """The hypervisor says, on the terminal of the guest, that it stops it."""

    reason: str


@dataclass(frozen=True, slots=True)
class FirmwareException(Event):
    """A CPU exception reported by EDK II's handler; ``vector`` is its number, if it has one."""

    vector: int
    name: str


@dataclass(frozen=True, slots=True)
class LoaderStarted(Event):
    """FreeBSD's loader or a boot block printed its name and version."""

    revision: str


@dataclass(frozen=True, slots=True)
class FileLoading(Event):
    """The loader loads a kernel, a module or a memory disk."""

    path: str


@dataclass(frozen=True, slots=True)
class FilesUnloaded(Event):
    """The loader unloaded the kernel, because a setting changed."""

    text: str


@dataclass(frozen=True, slots=True)
class LoaderFailed(Event):
    """The loader printed an error."""

    text: str
    fault: LoaderFault = LoaderFault.REFUSED


@dataclass(frozen=True, slots=True)
class ModulesLoading(Event):
    """The loader starts to load the files of loader.conf, which may be missing."""


@dataclass(frozen=True, slots=True)
class LoaderPrompt(Event):
    """The loader waits for input."""


@dataclass(frozen=True, slots=True)
class KernelEntered(Event):
    """The loader's last line before it jumps to the kernel's entry point."""

    entry: int


# The kernel's startup


@dataclass(frozen=True, slots=True)
class MessagesBegin(Event):
    """``---<<BOOT>>---``: the start of the kernel's message buffer."""


@dataclass(frozen=True, slots=True)
class KernelStarted(Event):
    """The kernel's version; ``ident`` is its configuration, empty if it is not printed."""

    release: str
    ident: str
    machine: str
    version: str


@dataclass(frozen=True, slots=True)
class SratRefused(Event):
    """The kernel ignores the ACPI SRAT, so all memory is one domain."""

    reason: str


@dataclass(frozen=True, slots=True)
class DomainEmpty(Event):
    """A memory domain without memory."""

    domain: int


@dataclass(frozen=True, slots=True)
class CpusDetected(Event):
    """The number of CPUs that the kernel found."""

    count: int


@dataclass(frozen=True, slots=True)
class CpusLaunched(Event):
    """CPUs, other than the boot CPU, that were started."""

    cpus: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DeviceScan(Event):
    """The first PCI bus was found; probing the devices on it takes most of the boot."""

    device: str


@dataclass(frozen=True, slots=True)
class MountRoot(Event):
    """The kernel tries to mount the root file system from ``source`` (``ufs:/dev/md0``)."""

    source: str


@dataclass(frozen=True, slots=True)
class MountRootFailed(Event):
    """The root file system could not be mounted; ``error`` is an errno."""

    source: str
    error: int
    retrying: bool


@dataclass(frozen=True, slots=True)
class MountRootPrompt(Event):
    """``mountroot>``: no root file system was mounted, and the kernel waits for input."""


@dataclass(frozen=True, slots=True)
class InitStarted(Event):
    """The kernel tries to start init."""

    path: str


@dataclass(frozen=True, slots=True)
class LoginPrompt(Event):
    """``login: ``: getty(8) waits for a user."""


# The guest's init


@dataclass(frozen=True, slots=True)
class ProbeRecord(Event):
    """A line of init's report with a valid checksum (``harness.console.probe``)."""

    number: int
    name: str
    fields: tuple[tuple[str, str], ...]
    nonce: str = ""


@dataclass(frozen=True, slots=True)
class ServiceReady(Event):
    """A world's rc(8) has come to its end (``images/world/harness_ready``).

    ``service`` is ``ssh`` if sshd runs, else ``nothing``.
    """

    nonce: str
    service: str


@dataclass(frozen=True, slots=True)
class ProbeLineCorrupt(Event):
    """A line of init's report that is damaged or malformed."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class ProbeConflict(Event):
    """A second record of the same number that differs from the first; both checksums are valid."""

    number: int
    nonce: str
    text: str


@dataclass(frozen=True, slots=True)
class ReportComplete(Event):
    """All records of init's report were read, including its end."""

    records: int
    nonce: str = ""


# Failures and warnings


@dataclass(frozen=True, slots=True)
class Frame:
    """A line of a backtrace.

    ``symbol_offset`` is in bytes from the start of ``function``; ``pc`` is None if it is not
    printed. ``entry`` is how the kernel was entered there (``trap 0xc``, ``interrupt``); a call has
    none. The address is that of the interrupted instruction, or the call's return address.
    """

    function: str
    symbol_offset: int = 0
    frame_pointer: int | None = None
    pc: int | None = None
    entry: str = ""

    @property
    def is_return_address(self) -> bool:
        """Whether the address follows a call."""
        return not self.entry


@dataclass(frozen=True, slots=True)
class Backtrace(Event):
    """Frames, innermost first.

    ``announced`` is the offset of the line that announces them, or None; ``offset`` is that of the
    first frame. ``thread`` is the thread's number, None if it is not printed.
    """

    frames: tuple[Frame, ...]
    origin: TraceOrigin = TraceOrigin.KDB
    thread: int | None = None
    announced: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Panic(Event):
    """``panic:`` and the CPU printed after it (sys/kern/kern_shutdown.c, vpanic).

    ``before`` are the lines directly before it that match no pattern; they explain some messages.
    """

    message: str
    cpu: int | None
    before: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class FatalTrap(Event):
    """A fatal trap (sys/*/*/trap.c, trap_fatal)."""

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
    """A report of KASAN or KMSAN that did not panic (``debug.*.panic_on_violation=0``)."""

    sanitizer: str
    message: str


@dataclass(frozen=True, slots=True)
class SanitizerFinding(Event):
    """A report of a sanitizer that continues after it, such as KCSAN or KUBSAN."""

    title: str
    message: str


@dataclass(frozen=True, slots=True)
class LockOrderReversal(Event):
    """WITNESS: two locks were acquired in both orders (sys/kern/subr_witness.c)."""

    locks: tuple[str, ...]
    detail: str


@dataclass(frozen=True, slots=True)
class KernelWarning(Event):
    """A warning, after which the boot continues."""

    kind: WarningKind
    text: str


@dataclass(frozen=True, slots=True)
class DebuggerEntered(Event):
    """``KDB: enter``: the kernel enters its debugger, with the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class DebuggerThread(Event):
    """``[ thread pid 0 tid 100000 ]``: the thread that entered DDB (sys/ddb/db_thread.c)."""

    thread: int


@dataclass(frozen=True, slots=True)
class DebuggerStopped(Event):
    """``Stopped at``: the function in which the thread entered DDB (sys/ddb/db_main.c)."""

    function: str
    symbol_offset: int


@dataclass(frozen=True, slots=True)
class DebuggerScript(Event):
    """``db:0:kdb.enter.panic> bt``: a command of a DDB script (sys/ddb/db_script.c)."""

    script: str


@dataclass(frozen=True, slots=True)
class DebuggerPrompt(Event):
    """``db>``: DDB waits for input."""


@dataclass(frozen=True, slots=True)
class DebuggerResumed(Event):
    """``db> continue``: a user resumed the kernel (sys/ddb/db_command.c, db_cmds[])."""


@dataclass(frozen=True, slots=True)
class Shutdown(Event):
    """A step of the kernel's shutdown."""

    step: ShutdownStep


# The console itself


@dataclass(frozen=True, slots=True)
class ParseFailed(Event):
    """The parser failed on a line, which is a bug, and continues with the next one."""

    error: str
    text: str


@dataclass(frozen=True, slots=True)
class LineCutShort(Event):
    """A line longer than MAX_LINE; ``length`` is that of the whole line, in bytes."""

    length: int


@dataclass(frozen=True, slots=True)
class EventsDropped(Event):
    """Further events of this class are dropped, as a guest may print any number."""

    kind: str
