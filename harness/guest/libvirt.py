"""The backend that hands guests to libvirt, as transient domains that end with us."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import psutil

from harness.errors import InfraError
from harness.guest.backend import Ending, GuestExit, ending_of_reason
from harness.guest.domain_xml import (
    domain_name,
    domain_xml,
    memoryless_emulator,
    needs_wrapped_emulator,
)
from harness.guest.libvirtd import IDLE_SECONDS, PrivateLibvirtd
from harness.guest.memory import available_memory, check_memory
from harness.guest.qemu_argv import PROGRAM
from harness.guest.spec import GuestSpec
from harness.host.clock import Clock
from harness.host.process import Runner, missing_program
from harness.host.workspace import Workspace, write_atomic

SESSION_URI: Final = "qemu:///session"

_KEEPALIVE_SECONDS: Final = 10
_KEEPALIVE_COUNT: Final = 6
_STDERR_CHARS: Final = 8192
_LIBVIRT_LINE: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\+\d{4}: ")


class _Library(NamedTuple):
    """libvirt's Python modules, loaded when first needed since they are an optional extra."""

    core: Any
    qemu: Any


class _Watch:
    """What libvirt's events have told of one domain; filled by the event thread."""

    def __init__(self, core: Any) -> None:
        self._core = core
        self.over = threading.Event()
        self.ending: Ending | None = None

    def monitor(self, *event: Any) -> None:
        """QEMU's own event SHUTDOWN: (connection, domain, name, seconds, micros, details, _).

        The end is told here and not when libvirt declares the domain stopped: that comes up to
        seconds later, when process 1 has reaped QEMU.
        """
        self.end(ending_of_reason(str(json.loads(event[5]).get("reason", ""))))

    def lifecycle(self, *event: Any) -> None:
        """A change of the domain's state: (connection, domain, event, detail, _)."""
        kind, detail = event[2], event[3]
        if kind == self._core.VIR_DOMAIN_EVENT_STOPPED:
            destroyed = detail == self._core.VIR_DOMAIN_EVENT_STOPPED_DESTROYED
            self.end(Ending.KILLED if destroyed else Ending.CRASHED)

    def end(self, ending: Ending) -> None:
        """Note how the guest ended."""
        # Only the first counts: libvirt itself ends QEMU with a signal after the guest's end.
        if self.ending is None:
            self.ending = ending
        self.over.set()

    def closed(self, *_: Any) -> None:
        """The connection is gone: libvirtd has died or does not answer."""
        self.over.set()


class LibvirtGuest:
    """A guest in a libvirt domain; see ``Guest``."""

    def __init__(
        self, library: _Library, connection: Any, name: str, uri: str, log: Path | None
    ) -> None:
        self._library = library
        self._connection: Any = connection
        self._name = name
        self._uri = uri
        self._log = log
        self._watch = _Watch(library.core)
        self._domain: Any = None
        self._callbacks: list[Callable[[], object]] = []

    @property
    def domain(self) -> str:
        """The domain's name."""
        return self._name

    def start(self, xml: str, flags: int) -> None:
        """Create the domain, stopped, so that no event is missed; then let it run."""
        core, connection = self._library.core, self._connection
        connection.registerCloseCallback(self._watch.closed, None)
        self._callbacks.append(connection.unregisterCloseCallback)
        self._domain = connection.createXML(xml, flags | core.VIR_DOMAIN_START_PAUSED)
        lifecycle = connection.domainEventRegisterAny(
            self._domain, core.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._watch.lifecycle, None
        )
        self._callbacks.append(lambda: connection.domainEventDeregisterAny(lifecycle))
        monitor = self._library.qemu.qemuMonitorEventRegister(
            connection, self._domain, "SHUTDOWN", self._watch.monitor, None
        )
        self._callbacks.append(
            lambda: self._library.qemu.qemuMonitorEventDeregister(connection, monitor)
        )
        self._domain.resume()

    def wait(self, timeout: float | None = None) -> GuestExit | None:
        """See ``Guest``."""
        if not self._watch.over.wait(timeout):
            return None
        ending = self._watch.ending
        if ending is None:
            raise InfraError(
                f"lost libvirtd at {self._uri} while guest {self._name} ran: it has died or "
                "does not answer",
                remedy="Run it again; should it happen again, use --backend qemu.",
                detail=self.stderr_tail(),
            )
        self._release()
        return GuestExit(ending, None, self.stderr_tail())

    def destroy(self) -> None:
        """See ``Guest``."""
        if self._domain is not None:
            try:
                self._domain.destroy()
            except self._library.core.libvirtError as error:
                if error.get_error_code() != self._library.core.VIR_ERR_NO_DOMAIN:
                    self._end_without_libvirt()
            else:
                self._watch.end(Ending.KILLED)
        self._release()

    def stderr_tail(self) -> str:
        """See ``Guest``."""
        if self._log is None:
            return ""
        try:
            text = self._log.read_text("utf-8", "replace")
        except OSError:
            return ""
        return qemu_stderr(text)[-_STDERR_CHARS:]

    def _end_without_libvirt(self) -> None:
        """End QEMU although its libvirtd has died, where that is in our power."""
        if _is_local(self._uri):
            _kill_orphan(self._name)

    def _release(self) -> None:
        """Close the connection, which also ends the domain if it still runs."""
        while self._callbacks:
            with contextlib.suppress(self._library.core.libvirtError):
                self._callbacks.pop()()
        self._domain = None
        if self._connection is not None:
            with contextlib.suppress(self._library.core.libvirtError):
                self._connection.close()
        self._connection = None


class LibvirtBackend:
    """Starts a transient domain for each guest; see ``Backend``.

    Args:
        runner: starts a libvirtd of our own for root.
        clock: measures how long that takes.
        workspace: where it keeps its files.
        uri: another libvirt's address; by default the user's session, for root one of our own.
        available: bytes of host memory that guests may take.
        waiting: told the process id of another harness that is just starting the daemon.
        idle_seconds: after which the daemon goes away when nobody uses it.
    """

    name = "libvirt"

    def __init__(
        self,
        runner: Runner,
        clock: Clock,
        workspace: Workspace,
        *,
        uri: str | None = None,
        available: Callable[[], int] = available_memory,
        waiting: Callable[[str], None] | None = None,
        idle_seconds: int = IDLE_SECONDS,
    ) -> None:
        self._workspace = workspace
        self._available = available
        self._daemon: PrivateLibvirtd | None = None
        if uri is None and os.geteuid() == 0:
            self._daemon = PrivateLibvirtd(runner, clock, workspace, waiting, idle_seconds)
        self.uri = uri or (self._daemon.uri if self._daemon else SESSION_URI)

    def describe(self, spec: GuestSpec) -> str:
        """See ``Backend``."""
        return domain_xml(spec, self._wrapper() if needs_wrapped_emulator(spec) else None)

    def start(self, spec: GuestSpec, *, keep: bool = False) -> LibvirtGuest:
        """See ``Backend``.

        Raises:
            InfraError: no libvirt, no connection, too little memory, or libvirt's refusal.
        """
        library = _library()
        if _is_local(self.uri):
            check_memory(spec, self._available())
        if needs_wrapped_emulator(spec):
            self._write_wrapper(spec)
        name = domain_name(spec)
        guest = LibvirtGuest(library, self._connect(library), name, self.uri, self._log(name))
        flags = 0 if keep else library.core.VIR_DOMAIN_START_AUTODESTROY
        try:
            guest.start(self.describe(spec), flags)
        except library.core.libvirtError as error:
            guest.destroy()
            raise InfraError(
                f"libvirt at {self.uri} did not start guest {spec.name}: "
                f"{error.get_error_message()}",
                remedy="See what QEMU said below, if it came that far; "
                "harness doctor tells what this host can do.",
                detail=guest.stderr_tail(),
            ) from error
        except BaseException:
            guest.destroy()
            raise
        return guest

    def _connect(self, library: _Library) -> Any:
        for last in (False, True):
            if self._daemon is not None:
                self._daemon.ensure()
            try:
                connection = library.core.open(self.uri)
                connection.setKeepAlive(_KEEPALIVE_SECONDS, _KEEPALIVE_COUNT)
            except library.core.libvirtError as error:
                # A daemon of ours may have been about to leave, being idle: once more.
                if last or self._daemon is None:
                    raise _no_connection(self.uri, error) from error
            else:
                return connection
        raise AssertionError("unreachable")

    def _log(self, name: str) -> Path | None:
        if self._daemon is not None:
            return self._daemon.log_folder / f"{name}.log"
        if self.uri == SESSION_URI:
            cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            return Path(cache, "libvirt", "qemu", "log", f"{name}.log")
        return None

    def _wrapper(self) -> Path:
        return self._workspace.cache / "libvirt" / "qemu-memoryless"

    def _write_wrapper(self, spec: GuestSpec) -> None:
        if not _is_local(self.uri):
            raise InfraError(
                f"guest {spec.name} has a node without memory, which libvirt cannot express, "
                f"and the way round it needs a libvirtd on this host, unlike {self.uri}",
                remedy="Use --backend qemu, or a local libvirtd.",
            )
        emulator = shutil.which(PROGRAM)
        if emulator is None:
            raise missing_program(PROGRAM)
        text = memoryless_emulator(emulator)
        path = self._wrapper()
        # libvirt asks an emulator for its capabilities again whenever the file has changed.
        if not path.is_file() or path.read_text() != text:
            write_atomic(path, text)
            path.chmod(0o755)


def qemu_stderr(log: str) -> str:
    """What QEMU itself wrote, out of libvirt's log of a domain.

    libvirt appends to it at each start: a line of its own, then the environment and the command
    line, each line but the last ending in a backslash. Later lines of libvirt's own are told by
    its way of writing the time.
    """
    lines = log.rpartition(": starting up libvirt version")[2].splitlines()[1:]
    while lines and lines[0].endswith("\\"):
        del lines[0]
    return "\n".join(line for line in lines[1:] if not _LIBVIRT_LINE.match(line))


@functools.cache
def _library() -> _Library:
    """Load libvirt, keep it from writing to standard error and let it tell of events."""
    try:
        core = importlib.import_module("libvirt")
        qemu = importlib.import_module("libvirt_qemu")
    except ImportError as error:
        raise InfraError(
            f"libvirt's Python module is not usable: {error}",
            remedy="install it: apt-get install libvirt-dev pkg-config gcc "
            "&& pip install 'harness[libvirt]'; or use --backend qemu",
        ) from error
    core.registerErrorHandler(lambda *_: None, None)
    core.virEventRegisterDefaultImpl()
    threading.Thread(target=_run_events, args=(core,), name="libvirt-events", daemon=True).start()
    return _Library(core, qemu)


def _run_events(core: Any) -> None:
    while True:
        core.virEventRunDefaultImpl()


def _no_connection(uri: str, error: Exception) -> InfraError:
    return InfraError(
        f"cannot connect to libvirt at {uri}: {error}",
        remedy="See that a libvirtd runs there and that you may use it, "
        "leave --libvirt-uri out, or use --backend qemu.",
    )


def _is_local(uri: str) -> bool:
    return not urlsplit(uri).hostname


def _kill_orphan(name: str) -> None:
    """End the QEMU of a domain whose libvirtd has died."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or ()
        if any(word.startswith(f"guest={name},") for word in command):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                process.wait(_KEEPALIVE_SECONDS)
