"""Stops a guest where a panic begins, and runs gdb there."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.debug.plan import GdbSession, PanicDebugger
from harness.debug.remote import RemoteStub
from harness.debug.stub import close_stub, open_stub
from harness.errors import InfraError, UsageError
from harness.guest.qmp import read_status
from harness.kernel.elf import symbol_addresses

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from harness.guest.qmp import Monitor
    from harness.host.clock import Clock
    from harness.kernel.artifact import KernelArtifact

_BEGINNINGS: Final = ("vpanic", "panic")
"""Functions at which a panic begins: FreeBSD's (sys/kern/kern_shutdown.c), the built-in guest's."""

_NO_PANIC: Final = "the guest did not panic"

_AT_BREAKPOINT: Final = "debug"  # RUN_STATE_DEBUG


class PausedClock:
    """A clock that stands still while gdb works, so that no limit of the guest expires.

    Args:
        clock: the host's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._paused = 0.0

    def monotonic(self) -> float:
        """See ``Clock``."""
        return self._clock.monotonic() - self._paused

    def now(self) -> datetime:
        """See ``Clock``."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """See ``Clock``."""
        self._clock.sleep(seconds)

    def during(self, work: Callable[[], None]) -> None:
        """Do the work while this clock stands still."""
        started = self._clock.monotonic()
        try:
            work()
        finally:
            self._paused += self._clock.monotonic() - started


def beginning_of_panic(kernel: KernelArtifact) -> int:
    """Return the address of the function at which a panic begins.

    Raises:
        UsageError: the kernel has no such symbol.
    """
    found = symbol_addresses(kernel.kernel, _BEGINNINGS)
    for name in _BEGINNINGS:
        if name in found:
            return found[name]
    raise UsageError(
        f"{kernel.kernel} has no symbol {_BEGINNINGS[0]} to stop at",
        remedy="leave --gdb-on-panic out",
    )


@dataclass(slots=True)
class PanicStop:
    """A breakpoint at the start of a panic, once.

    Args:
        address: where a panic begins.
        stub: path of the stub's socket.
        clock: the guest's clock, which stands still while gdb works.
        work: runs gdb at the stub; returns its output.
    """

    address: int
    stub: Path
    clock: PausedClock
    work: Callable[[], str]
    session: GdbSession = field(default_factory=lambda: GdbSession(note=_NO_PANIC))
    _monitor: Monitor | None = None
    _remote: RemoteStub | None = None

    @classmethod
    def of(
        cls, debugger: PanicDebugger, kernel: KernelArtifact, subsystem: str, stub: Path,
        clock: Clock,
    ) -> PanicStop:  # fmt: skip
        """Return the breakpoint of a kernel; ``PausedClock`` stands still while gdb works."""
        return cls(
            beginning_of_panic(kernel), stub, PausedClock(clock),
            lambda: debugger.debug(kernel, subsystem, stub),
        )  # fmt: skip

    def arm(self, monitor: Monitor | None) -> None:
        """Set the breakpoint in a guest that does not run yet.

        Raises:
            UsageError: the guest has no QEMU.
            InfraError: QEMU refuses.
        """
        if monitor is None:
            raise UsageError(
                "--gdb-on-panic is for guests under QEMU or libvirt",
                remedy="leave it out, or add --backend qemu",
            )
        open_stub(monitor, self.stub)
        self._monitor = monitor
        self._remote = RemoteStub(self.stub, self.clock)
        self._remote.set_breakpoint(self.address)

    def look(self) -> None:
        """If the guest has stopped at the breakpoint, run gdb, and let it run on.

        Raises:
            InfraError: QEMU does not answer.
        """
        monitor = self._monitor
        if monitor is not None and monitor.stopped and read_status(monitor) == _AT_BREAKPOINT:
            self._close_remote()
            self.clock.during(lambda: self._debug(monitor))

    def _debug(self, monitor: Monitor) -> None:
        try:
            self.session = GdbSession(output=self.work())
        except InfraError as error:
            self.session = GdbSession(note=error.message)
        self.close()
        with contextlib.suppress(InfraError):  # the user has ended the guest
            monitor.query("cont")
            monitor.drain()

    def close(self) -> None:
        """Remove the breakpoint and the stub."""
        self._close_remote()
        monitor, self._monitor = self._monitor, None
        if monitor is None:
            return
        with contextlib.suppress(InfraError):  # the guest has ended
            remote = RemoteStub(self.stub, self.clock)
            remote.detach()
            remote.close()
        self.stub.unlink(missing_ok=True)
        with contextlib.suppress(InfraError):
            close_stub(monitor)

    def _close_remote(self) -> None:
        remote, self._remote = self._remote, None
        if remote is not None:
            remote.close()
