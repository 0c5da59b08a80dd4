"""The protocols of backends and guests, and how a guest can end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from harness.errors import InfraError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path
    from socket import socket

    from harness.guest.qmp import Monitor
    from harness.guest.serialtap import SerialPort
    from harness.guest.spec import GuestSpec
    from harness.host.accelerator import Accelerator
    from harness.host.confinement import Identity
    from harness.host.processid import ProcessId
    from harness.image.media import BootMethod, Media


class GuestEnding(StrEnum):
    """How a guest ended, according to its backend; the console has the kernel's side."""

    POWEROFF = "poweroff"  # the guest powered off
    RESET = "reset"  # the guest reset the machine: a reboot, a panic's end, a triple fault
    KILLED = "killed"  # a process on the host killed it
    CRASHED = "crashed"  # QEMU died
    LOST = "lost"  # its console ended, for an unknown reason


@dataclass(frozen=True, slots=True)
class GuestExit:
    """The end of a guest.

    Args:
        ending: the kind of end.
        returncode: exit status of QEMU or the console program, negative for a signal; None if
            unknown.
        failure: the host failure that ended the guest; None if the guest ended by itself.
    """

    ending: GuestEnding
    returncode: int | None = None
    failure: InfraError | None = None


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Identifies a kept guest: QEMU's process, or libvirt's domain.

    Args:
        process: QEMU's process.
        uri: libvirt's address.
        domain: libvirt's domain.
        control: the connection to QEMU's monitor; None if there is none.
    """

    process: ProcessId
    uri: str = ""
    domain: str = ""
    control: socket | None = None


class Guest(Protocol):
    """A guest that was started."""

    def wait(self, timeout: float | None = None) -> GuestExit | None:
        """Return how it ended; None if it still runs after ``timeout`` seconds (None: no limit).

        Raises:
            InfraError: the host lost track of the guest (a dead libvirtd).
        """
        ...

    def destroy(self) -> None:
        """End the guest and release its resources; does nothing if it has ended."""
        ...

    def leave(self) -> Whereabouts | None:
        """Release the harness's resources and leave a guest started with ``keep`` running.

        Returns None if the guest has ended.
        """
        ...

    def stderr_tail(self) -> str:
        """Return the end of QEMU's standard error."""
        ...

    @property
    def pid(self) -> int | None:
        """QEMU's process id; None if unknown."""
        ...

    def cpu_seconds(self) -> float | None:
        """Return the CPU time that QEMU has used; None if unknown."""
        ...

    def machine_differences(self, spec: GuestSpec) -> tuple[str, ...]:
        """Return the differences between the machine and ``spec``, in words.

        Empty if there are none, or if nothing describes the machine (``Backend.unproven``).
        """
        ...

    def forwarded_port(self) -> int:
        """Return the port of the host's loopback address that leads to the guest's ``Network``.

        It connects before the guest listens, and then resets.

        Raises:
            InfraError: the guest has no such network, or QEMU does not answer.
        """
        ...

    def require_running(self) -> None:
        """Check that the host runs the guest, so that silence is the guest's own.

        Raises:
            InfraError: QEMU, or the machine, does not answer.
        """
        ...

    @property
    def monitor(self) -> Monitor | None:
        """Controls its QEMU; None if the guest has none."""
        ...

    def stop_state(self) -> str | None:
        """Return QEMU's run state if the host made it stop the guest; None if not.

        Raises:
            InfraError: QEMU does not answer.
        """
        ...


#: Called with a guest that exists and does not run yet.
Inspect = Callable[[Guest], None]


class Backend(Protocol):
    """Starts guests."""

    @property
    def name(self) -> str:
        """The backend's name in ``harness.guest.backends``."""
        ...

    @property
    def unproven(self) -> tuple[str, ...]:
        """Properties of its guests that nothing proves, in words, for the record."""
        ...

    @property
    def methods(self) -> tuple[BootMethod, ...]:
        """The boot methods that its guests support."""
        ...

    @property
    def saves_state(self) -> bool:
        """Whether it starts guests with ``GuestSpec.ram``, whose state can be saved and loaded."""
        ...

    def firmware(self, media: Media) -> Path | None:
        """Return the firmware for guests that boot from ``media``; None if they need none.

        Raises:
            InfraError: the firmware is not installed.
        """
        ...

    def open_port(self, path: Path, nap: float = 0.0) -> AbstractContextManager[SerialPort]:
        """Create the socket ``path`` for a serial port, before its guest starts.

        Reads are at least ``nap`` seconds apart.
        """
        ...

    def start(
        self, spec: GuestSpec, *, keep: bool = False, inspect: Inspect = lambda _: None
    ) -> Guest:
        """Start a guest; it ends with this process, unless ``keep``.

        The sockets of the guest's serial ports must be listening. ``inspect`` is called before
        the guest's first instruction, so the guest cannot end meanwhile.

        Raises:
            InfraError: the host cannot run it.
        """
        ...

    def identity(self, accelerator: Accelerator) -> Identity | None:
        """Return the user that a new guest's QEMU runs as; None for the harness's own."""
        ...

    def describe(self, spec: GuestSpec) -> str:
        """Return the command line or domain XML that ``start`` would use."""
        ...


def ending_of_reason(reason: str) -> GuestEnding:
    """Return the ending for the cause in QEMU's SHUTDOWN event.

    Follows ``ShutdownCause`` in ``qapi/run-state.json``. Both backends start QEMU with
    ``-no-reboot``, which turns a reset into a shutdown; only the cause tells them apart.
    """
    if reason == "guest-shutdown":
        return GuestEnding.POWEROFF
    if reason.startswith("host-"):
        return GuestEnding.KILLED
    return GuestEnding.RESET


def qemu_exit(ending: GuestEnding, returncode: int | None, stderr: str) -> GuestExit:
    """Return the exit of a guest whose QEMU this process started."""
    failures = {
        GuestEnding.CRASHED: (
            f"QEMU died (exit status {returncode})",
            "QEMU's messages are below; harness doctor lists what this host lacks",
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
