"""A guest in a libvirt domain."""

from __future__ import annotations

import contextlib
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import psutil

from harness.errors import InfraError
from harness.guest.backend import (
    GuestEnding,
    GuestExit,
    Inspect,
    Whereabouts,
    ending_of_reason,
    qemu_exit,
)
from harness.guest.controlled import ControlledGuest
from harness.guest.qmp import START_SECONDS, ControlChannel
from harness.host.confinement import limit_files
from harness.host.processid import find_processes
from harness.host.procfs import cpu_seconds
from harness.host.sessions import KILL_SECONDS, unkillable

if TYPE_CHECKING:
    from harness.host.clock import Clock

_SLICE_SECONDS: Final = 0.2


_FORGOTTEN_SECONDS: Final = 5.0


_STDERR_CHARS: Final = 8192


_LIBVIRT_LINE: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\+\d{4}: ")


class Origin(NamedTuple):
    """A domain's name, its libvirt, and the log with QEMU's standard error, if readable."""

    domain: str
    uri: str
    log: Path | None


class LibvirtGuest(ControlledGuest):
    """A guest in a libvirt domain; see ``Guest``.

    QEMU itself reports how the guest ended. libvirt's events do not distinguish a reset from a
    power-off, and about one in a hundred domains that ended soon after their start ended without
    any event (libvirt 9.0).
    """

    def __init__(
        self, library: Any, connection: Any, control: ControlChannel, origin: Origin, clock: Clock
    ) -> None:
        super().__init__(control)
        self._library = library
        self._connection: Any = connection
        self._origin = origin
        self._clock = clock
        self._domain: Any = None
        self._killed = False
        self._lost = threading.Event()
        connection.registerCloseCallback(lambda *_: self._lost.set(), None)

    @property
    def domain(self) -> str:
        """The domain's name."""
        return self._origin.domain

    @property
    def pid(self) -> int | None:
        """See ``Guest``."""
        return self._control.pid

    def stop_state(self) -> str | None:
        """See ``Guest``; libvirtd is not queried while the guest keeps printing.

        Raises:
            InfraError: libvirtd has died or does not answer.
        """
        self._control.drain()
        if not (self._control.closed or self._control.shutdown_reason):
            self._require_daemon()
        return self._control.stop_state()

    def _require_daemon(self) -> None:
        if self._lost.is_set():
            raise InfraError(
                f"lost libvirtd at {self._origin.uri} while guest {self.domain} ran: "
                "it died or does not answer",
                remedy="run it again; if it fails again, use --backend qemu",
                detail=self.stderr_tail(),
            )

    def start(self, xml: str, flags: int, inspect: Inspect, file_size: int | None) -> None:
        """Create the domain; its CPUs start when QEMU answers, so that no end is missed.

        Before, the files that QEMU writes are limited to ``file_size`` bytes, unless that is None.
        """
        self._domain = self._connection.createXML(
            xml, flags | self._library.VIR_DOMAIN_START_PAUSED
        )
        deadline = self._clock.monotonic() + START_SECONDS
        while not self._control.ready(_SLICE_SECONDS):
            if self._control.closed or self._clock.monotonic() > deadline:
                raise InfraError(
                    f"QEMU of guest {self.domain} did not answer",
                    remedy="QEMU's messages are below; harness doctor lists what this host lacks",
                    detail=self.stderr_tail(),
                )
        if file_size is not None and self.pid is not None:
            limit_files(self.pid, file_size)
        inspect(self)
        self._domain.resume()

    def wait(self, timeout: float | None = None) -> GuestExit | None:
        """See ``Guest``."""
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        while not (self._killed or self._control.closed or self._control.shutdown_reason):
            self._require_daemon()
            left = _SLICE_SECONDS if deadline is None else deadline - self._clock.monotonic()
            self._control.read(max(0.0, min(left, _SLICE_SECONDS)))
            if left <= 0:
                return None
        self._await_gone()
        self._release()
        return qemu_exit(self._ending(), None, self.stderr_tail())

    def destroy(self) -> None:
        """See ``Guest``."""
        if self._domain is not None:
            self._killed = not (self._control.closed or self._control.shutdown_reason)
            try:
                self._domain.destroy()
            except self._library.libvirtError as error:
                if error.get_error_code() != self._library.VIR_ERR_NO_DOMAIN:
                    _kill_orphan(self.domain)
            self._await_gone()
        self._release()

    def _await_gone(self) -> None:
        """Wait until libvirt has removed the domain.

        libvirt lists a domain that ended by itself for another moment; until then its name is
        taken.
        """
        until = self._clock.monotonic() + _FORGOTTEN_SECONDS
        with contextlib.suppress(self._library.libvirtError):
            while self._connection is not None and self._clock.monotonic() < until:
                self._connection.lookupByName(self.domain)
                self._clock.sleep(_SLICE_SECONDS / 10)

    def leave(self) -> Whereabouts | None:
        """See ``Guest``."""
        processes = find_processes(str(self._control.path))
        self._control.drain()
        control = self._control.release()
        self._release()
        if not processes:
            return None
        return Whereabouts(processes[0], self._origin.uri, self.domain, control)

    def _ending(self) -> GuestEnding:
        if self._killed:
            return GuestEnding.KILLED
        reason = self._control.shutdown_reason
        return GuestEnding.CRASHED if reason is None else ending_of_reason(reason)

    def cpu_seconds(self) -> float | None:
        """See ``Guest``."""
        return cpu_seconds(self.pid)

    def stderr_tail(self) -> str:
        """See ``Guest``."""
        if self._origin.log is None:
            return ""
        try:
            text = self._origin.log.read_text("utf-8", "replace")
        except OSError:
            return ""
        return qemu_stderr(text)[-_STDERR_CHARS:]

    def _release(self) -> None:
        """Close the connection; this ends the domain if it still runs."""
        self._control.close()
        self._domain = None
        if self._connection is not None:
            with contextlib.suppress(self._library.libvirtError):
                self._connection.unregisterCloseCallback()
            with contextlib.suppress(self._library.libvirtError):
                self._connection.close()
        self._connection = None


def qemu_stderr(log: str) -> str:
    """Extract QEMU's standard error from libvirt's log of a domain.

    At each start, libvirt appends a line of its own, then the environment and the command line;
    each of these lines but the last ends in a backslash. Later lines of libvirt's own begin with
    its time format.
    """
    lines = log.rpartition(": starting up libvirt version")[2].splitlines()[1:]
    while lines and lines[0].endswith("\\"):
        del lines[0]
    return "\n".join(line for line in lines[1:] if not _LIBVIRT_LINE.match(line))


def _kill_orphan(name: str) -> None:
    """Kill the QEMU of a domain whose libvirtd has died."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or ()
        if any(word.startswith(f"guest={name},") for word in command):
            try:
                process.kill()
                process.wait(KILL_SECONDS)
            except psutil.NoSuchProcess:
                continue
            except psutil.TimeoutExpired as error:
                raise unkillable(process.pid) from error
