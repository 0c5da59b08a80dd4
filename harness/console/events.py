"""Events of a console: one frozen class for each kind.

Events have no times, so that they are equal for a running guest and a stored console; the caller
of the parser adds them. They are structures of msgspec, as Python takes 25 times as long to create
dataclasses, and a boot waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from harness.console.eventkinds import LoaderFault, ShutdownStep, TraceOrigin, WarningKind

UNKNOWN_FUNCTION = "??"
"""DDB's name for an address without a symbol."""


class Event(msgspec.Struct, frozen=True):
    """An event; ``offset`` is that of its line, in bytes from the start of the console."""

    offset: int


# Firmware and loader


class FirmwareStarted(Event, frozen=True):
    """EDK II's boot manager tries a boot option."""

    option: str


class FirmwareFailed(Event, frozen=True):
    """EDK II found no boot option, or started its shell."""

    text: str


class GuestStopped(Event, frozen=True):
    """The hypervisor says, on the terminal of the guest, that it stops it."""

    reason: str


class FirmwareException(Event, frozen=True):
    """A CPU exception reported by EDK II's handler; ``vector`` is its number, if it has one."""

    vector: int
    name: str


class LoaderStarted(Event, frozen=True):
    """FreeBSD's loader or a boot block printed its name and version."""

    revision: str


class FileLoading(Event, frozen=True):
    """The loader loads a kernel, a module or a memory disk."""

    path: str


class FilesUnloaded(Event, frozen=True):
    """The loader unloaded the kernel, because a setting changed."""

    text: str


class LoaderFailed(Event, frozen=True):
    """The loader printed an error."""

    text: str
    fault: LoaderFault = LoaderFault.REFUSED


class ModulesLoading(Event, frozen=True):
    """The loader starts to load the files of loader.conf, which may be missing."""


class LoaderPrompt(Event, frozen=True):
    """The loader waits for input."""


class KernelEntered(Event, frozen=True):
    """The loader's last line before it jumps to the kernel's entry point."""

    entry: int


# The kernel's startup


class MessagesBegin(Event, frozen=True):
    """``---<<BOOT>>---``: the start of the kernel's message buffer."""


class KernelStarted(Event, frozen=True):
    """The kernel's version; ``ident`` is its configuration, empty if it is not printed."""

    release: str
    ident: str
    machine: str
    version: str


class SratRefused(Event, frozen=True):
    """The kernel ignores the ACPI SRAT, so all memory is one domain."""

    reason: str


class DomainEmpty(Event, frozen=True):
    """A memory domain without memory."""

    domain: int


class CpusDetected(Event, frozen=True):
    """The number of CPUs that the kernel found."""

    count: int


class CpusLaunched(Event, frozen=True):
    """CPUs, other than the boot CPU, that were started."""

    cpus: tuple[int, ...]


class DeviceScan(Event, frozen=True):
    """The first PCI bus was found; probing the devices on it takes most of the boot."""

    device: str


class MountRoot(Event, frozen=True):
    """The kernel tries to mount the root file system from ``source`` (``ufs:/dev/md0``)."""

    source: str


class MountRootFailed(Event, frozen=True):
    """The root file system could not be mounted; ``error`` is an errno."""

    source: str
    error: int
    retrying: bool


class MountRootPrompt(Event, frozen=True):
    """``mountroot>``: no root file system was mounted, and the kernel waits for input."""


class InitStarted(Event, frozen=True):
    """The kernel tries to start init."""

    path: str


class LoginPrompt(Event, frozen=True):
    """``login: ``: getty(8) waits for a user."""


# The guest's init


class ProbeRecord(Event, frozen=True):
    """A line of init's report with a valid checksum (``harness.console.probe``)."""

    number: int
    name: str
    fields: tuple[tuple[str, str], ...]
    nonce: str = ""


class ServiceReady(Event, frozen=True):
    """A world's rc(8) has come to its end (``images/world/harness_ready``).

    ``service`` is ``ssh`` if sshd runs, else ``nothing``.
    """

    nonce: str
    service: str


class ProbeLineCorrupt(Event, frozen=True):
    """A line of init's report that is damaged or malformed."""

    reason: str
    text: str


class ProbeConflict(Event, frozen=True):
    """A second record of the same number that differs from the first; both checksums are valid."""

    number: int
    nonce: str
    text: str


class ReportComplete(Event, frozen=True):
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


class Backtrace(Event, frozen=True):
    """Frames, innermost first.

    ``announced`` is the offset of the line that announces them, or None; ``offset`` is that of the
    first frame. ``thread`` is the thread's number, None if it is not printed.
    """

    frames: tuple[Frame, ...]
    origin: TraceOrigin = TraceOrigin.KDB
    thread: int | None = None
    announced: int | None = None

    def __eq__(self, other: object) -> bool:
        """Return whether the backtraces are equal, announced or not."""
        return type(other) is Backtrace and self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def _compared(self) -> tuple[object, ...]:
        return self.offset, self.frames, self.origin, self.thread


class Panic(Event, frozen=True):
    """``panic:`` and the CPU printed after it (sys/kern/kern_shutdown.c, vpanic).

    ``before`` are the lines directly before it that match no pattern; they explain some messages.
    """

    message: str
    cpu: int | None
    before: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        """Return whether the panics are equal, whatever is printed before them."""
        return type(other) is Panic and self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def _compared(self) -> tuple[object, ...]:
        return self.offset, self.message, self.cpu


class FatalTrap(Event, frozen=True):
    """A fatal trap (sys/*/*/trap.c, trap_fatal)."""

    number: int
    name: str
    mode: str
    cpu: int | None = None
    fault_address: int | None = None
    fault_code: str = ""
    instruction_pointer: int | None = None
    process: str = ""


class SanitizerReport(Event, frozen=True):
    """A report of KASAN or KMSAN that did not panic (``debug.*.panic_on_violation=0``)."""

    sanitizer: str
    message: str


class SanitizerFinding(Event, frozen=True):
    """A report of a sanitizer that continues after it, such as KCSAN or KUBSAN."""

    title: str
    message: str


class LockOrderReversal(Event, frozen=True):
    """WITNESS: two locks were acquired in both orders (sys/kern/subr_witness.c)."""

    locks: tuple[str, ...]
    detail: str


class KernelWarning(Event, frozen=True):
    """A warning, after which the boot continues."""

    kind: WarningKind
    text: str


class DebuggerEntered(Event, frozen=True):
    """``KDB: enter``: the kernel enters its debugger, with the reason."""

    reason: str


class DebuggerThread(Event, frozen=True):
    """``[ thread pid 0 tid 100000 ]``: the thread that entered DDB (sys/ddb/db_thread.c)."""

    thread: int


class DebuggerStopped(Event, frozen=True):
    """``Stopped at``: the function in which the thread entered DDB (sys/ddb/db_main.c)."""

    function: str
    symbol_offset: int


class DebuggerScript(Event, frozen=True):
    """``db:0:kdb.enter.panic> bt``: a command of a DDB script (sys/ddb/db_script.c)."""

    script: str


class DebuggerPrompt(Event, frozen=True):
    """``db>``: DDB waits for input."""


class DebuggerResumed(Event, frozen=True):
    """``db> continue``: a user resumed the kernel (sys/ddb/db_command.c, db_cmds[])."""


class Shutdown(Event, frozen=True):
    """A step of the kernel's shutdown."""

    step: ShutdownStep


# The console itself


class ParseFailed(Event, frozen=True):
    """The parser failed on a line, which is a bug, and continues with the next one."""

    error: str
    text: str


class LineCutShort(Event, frozen=True):
    """A line longer than MAX_LINE; ``length`` is that of the whole line, in bytes."""

    length: int


class EventsDropped(Event, frozen=True):
    """Further events of this class are dropped, as a guest may print any number."""

    kind: str
