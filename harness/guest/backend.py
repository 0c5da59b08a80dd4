"""What starts guests: the protocols both backends keep, and how a guest can end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from harness.guest.spec import GuestSpec
    from harness.host.accelerator import Accelerator
    from harness.host.confinement import Identity
    from harness.host.processid import ProcessId


class Ending(StrEnum):
    """How a guest ended, as QEMU saw it; what the kernel said of it stands on the console."""

    POWEROFF = "poweroff"  # the guest switched itself off
    RESET = "reset"  # the guest reset the machine: a reboot, a panic's end, a triple fault
    KILLED = "killed"  # somebody on the host ended it
    CRASHED = "crashed"  # QEMU itself died


@dataclass(frozen=True, slots=True)
class GuestExit:
    """The end of a guest.

    ``returncode`` is QEMU's exit status, negative for a signal, where the backend knows it.
    ``stderr`` is the end of what QEMU wrote on standard error.
    """

    ending: Ending
    returncode: int | None = None
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a guest that we have left is found again: QEMU's process, and libvirt's domain."""

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

    def query(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """QEMU's own word on the machine: the answer to a QMP query such as ``query-memdev``.

        Raises:
            InfraError: QEMU does not answer, or refuses.
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
        """As on the command line: ``qemu`` or ``libvirt``."""
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


def ending_of_reason(reason: str) -> Ending:
    """The ending that QEMU's event SHUTDOWN names (``ShutdownCause`` in ``qapi/run-state.json``).

    Both backends ask for QEMU's ``-no-reboot``, which turns a reset into a shutdown and leaves
    only the cause to tell them apart.
    """
    if reason == "guest-shutdown":
        return Ending.POWEROFF
    if reason.startswith("host-"):
        return Ending.KILLED
    return Ending.RESET
