"""What starts guests: the protocols that backends keep, and how a guest can end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from harness.errors import InfraError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from harness.guest.serialtap import SerialPort
    from harness.guest.spec import GuestSpec
    from harness.host.accelerator import Accelerator
    from harness.host.confinement import Identity
    from harness.host.processid import ProcessId
    from harness.image.media import BootMethod, Media


class GuestEnding(StrEnum):
    """How a guest ended, as its backend saw it; what the kernel printed of it is on the console."""

    POWEROFF = "poweroff"  # the guest switched itself off
    RESET = "reset"  # the guest reset the machine: a reboot, a panic's end, a triple fault
    KILLED = "killed"  # somebody on the host ended it
    CRASHED = "crashed"  # what ran it, QEMU, died
    LOST = "lost"  # nothing comes from it any more, and nothing tells why


@dataclass(frozen=True, slots=True)
class GuestExit:
    """The end of a guest.

    Args:
        ending: how.
        returncode: exit status of what ran it, negative for a signal, where the backend knows it.
        failure: why the end is the host's, not the guest's; None if it is the guest's own.
    """

    ending: GuestEnding
    returncode: int | None = None
    failure: InfraError | None = None


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a guest that was left running is found again: QEMU's process, libvirt's domain."""

    process: ProcessId
    uri: str = ""
    domain: str = ""


class Guest(Protocol):
    """A guest that was started."""

    def wait(self, timeout: float | None = None) -> GuestExit | None:
        """How it ended; None if it still runs after ``timeout`` seconds (None: no limit).

        Raises:
            InfraError: the host lost track of the guest (a dead libvirtd).
        """
        ...

    def destroy(self) -> None:
        """End the guest and free what it held; no harm if it has ended."""
        ...

    def leave(self) -> Whereabouts | None:
        """Free what we hold of a guest that was started with ``keep``, and let it run on.

        None if it has ended.
        """
        ...

    def stderr_tail(self) -> str:
        """The end of what QEMU wrote on standard error so far."""
        ...

    @property
    def pid(self) -> int | None:
        """QEMU's process; None where the host does not tell."""
        ...

    def machine_differences(self, spec: GuestSpec) -> tuple[str, ...]:
        """Where it is another machine than was asked for, in words.

        Empty if it is that machine, or if nothing tells (``Backend.unproven``).
        """
        ...

    def require_running(self) -> None:
        """See that the host runs it, so that its silence is its own.

        Raises:
            InfraError: what runs it does not answer.
        """
        ...

    def stop_state(self) -> str | None:
        """QEMU's run state if it has stopped the guest because of the host; None if not.

        Raises:
            InfraError: QEMU does not answer.
        """
        ...


#: Looks at a guest that has been made and does not run yet.
Inspect = Callable[[Guest], None]


class Backend(Protocol):
    """A way to start guests."""

    @property
    def name(self) -> str:
        """As in the table ``harness.guest.backends``."""
        ...

    @property
    def unproven(self) -> tuple[str, ...]:
        """What nothing proves of its guests, in words for their results."""
        ...

    @property
    def methods(self) -> tuple[BootMethod, ...]:
        """What can bring a kernel into the memory of its guests."""
        ...

    def firmware(self, media: Media) -> Path | None:
        """The firmware that has to be given to guests which boot from ``media``; None for none.

        Raises:
            InfraError: it is not on this host.
        """
        ...

    def open_port(self, path: Path, nap: float = 0.0) -> AbstractContextManager[SerialPort]:
        """Our end of a serial port whose socket is to be at ``path``, before its guest starts.

        It is read with pauses of ``nap`` seconds, at least.
        """
        ...

    def start(
        self, spec: GuestSpec, *, keep: bool = False, inspect: Inspect = lambda _: None
    ) -> Guest:
        """Start a guest; it ends with us, however we end, unless ``keep``.

        Something must be listening on the sockets of the guest's serial ports. ``inspect`` is
        called before the guest's first instruction: it cannot end meanwhile.

        Raises:
            InfraError: the host cannot run it.
        """
        ...

    def identity(self, accelerator: Accelerator) -> Identity | None:
        """The user that a new guest's QEMU runs as; None for the harness's own."""
        ...

    def describe(self, spec: GuestSpec) -> str:
        """The exact command line or domain XML that ``start`` would use."""
        ...


def ending_of_reason(reason: str) -> GuestEnding:
    """The ending that QEMU's event SHUTDOWN names (``ShutdownCause`` in ``qapi/run-state.json``).

    Both backends ask for QEMU's ``-no-reboot``, which turns a reset into a shutdown and leaves
    only the cause to tell them apart.
    """
    if reason == "guest-shutdown":
        return GuestEnding.POWEROFF
    if reason.startswith("host-"):
        return GuestEnding.KILLED
    return GuestEnding.RESET


def qemu_exit(ending: GuestEnding, returncode: int | None, stderr: str) -> GuestExit:
    """The end of a guest that a QEMU of ours ran, with the end of its standard error."""
    failures = {
        GuestEnding.CRASHED: (
            f"QEMU died (exit status {returncode})",
            "see what QEMU said below; harness doctor tells what this host can do",
        ),
        GuestEnding.KILLED: (
            "QEMU was ended from outside, by a signal or by its monitor",
            "run it again; where memory is short, the kernel's log names what it killed",
        ),
    }
    if ending not in failures:
        return GuestExit(ending, returncode)
    message, remedy = failures[ending]
    return GuestExit(ending, returncode, InfraError(message, remedy=remedy, detail=stderr))
