"""The libvirt backend: transient domains that end with the harness."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from harness.arch import GUEST
from harness.errors import InfraError, UsageError
from harness.guest.backends import BackendHost, BackendType
from harness.guest.diskfiles import largest_file, open_disks
from harness.guest.domain_xml import (
    domain_xml,
    memoryless_emulator,
    needs_wrapped_emulator,
)
from harness.guest.firmware import firmware_for
from harness.guest.libvirt_domain import LibvirtGuest, Origin
from harness.guest.libvirtd import IDLE_SECONDS, PrivateLibvirtd
from harness.guest.memory import check_memory
from harness.guest.migration import load_file
from harness.guest.qmp import ControlChannel
from harness.guest.serialtap import SerialTap
from harness.guest.spec import display_name
from harness.host.confinement import file_limit
from harness.host.doctor import HostFinding, good, install, lacking
from harness.host.memory import available_memory
from harness.host.programs import missing_program
from harness.host.sharedmemory import move_memory
from harness.host.workspace import Workspace, write_atomic
from harness.image.media import BootMethod, Media

if TYPE_CHECKING:
    from harness.guest.backend import Guest, Inspect
    from harness.guest.spec import GuestSpec
    from harness.host.accelerator import Accelerator
    from harness.host.clock import Clock
    from harness.host.confinement import Identity
    from harness.host.doctor import Doctor
    from harness.host.process import Runner

SESSION_URI: Final = "qemu:///session"

_MEMORY: Final = "memory-backend-memfd"
"""The name of QEMU's memory, of each node."""

_KEEPALIVE_SECONDS: Final = 10
_KEEPALIVE_COUNT: Final = 6


class LibvirtBackend:
    """Starts a transient domain for each guest; see ``Backend``.

    Args:
        runner: starts a private libvirtd for root.
        clock: measures timeouts.
        workspace: where it keeps its files.
        uri: libvirt's address; default: the user's session, for root a private libvirtd.
        available: bytes of host memory that guests may take.
        waiting: called with the process id of another harness that is starting the daemon.
        idle_seconds: time without clients and guests after which the daemon exits.
    """

    name = "libvirt"
    unproven = ()
    methods = tuple(BootMethod)

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
        self._clock = clock
        self._workspace = workspace
        self._available = available
        self._daemon: PrivateLibvirtd | None = None
        self._foreign = uri is not None
        if uri is None and os.geteuid() == 0:
            self._daemon = PrivateLibvirtd(runner, workspace, waiting, idle_seconds)
        self.uri = uri or (self._daemon.uri if self._daemon else SESSION_URI)

    @property
    def saves_state(self) -> bool:
        """See ``Backend``: not under another user's libvirtd, whose guests' memory is closed."""
        return not self._foreign

    def identity(self, accelerator: Accelerator) -> Identity | None:
        """See ``Backend``: libvirt chooses the user."""
        del accelerator
        return None

    def firmware(self, media: Media) -> Path | None:
        """See ``Backend``."""
        return firmware_for(media)

    def open_port(self, path: Path, nap: float = 0.0) -> SerialTap:
        """See ``Backend``."""
        return SerialTap(path, nap)

    def describe(self, spec: GuestSpec) -> str:
        """See ``Backend``."""
        return domain_xml(spec, self._wrapper() if needs_wrapped_emulator(spec) else None)

    def start(
        self, spec: GuestSpec, *, keep: bool = False, inspect: Inspect = lambda _: None
    ) -> LibvirtGuest:
        """See ``Backend``.

        Raises:
            InfraError: libvirt is missing, unreachable or refuses, or memory is short.
        """
        library = _library()
        self._prepare(spec)
        with contextlib.ExitStack() as held:
            largest = largest_file(spec.disks, open_disks(spec.disks, held))
        # A libvirtd that the user named may run QEMU as another user, whose limits are its own.
        file_size = None if self._foreign else file_limit(largest)
        name = display_name(spec.name, spec.console_socket)
        connection = self._connect(library)
        control = ControlChannel.listening(spec.control_socket, self._clock)
        origin = Origin(name, self.uri, self._log(name))
        guest = LibvirtGuest(library, connection, control, origin, self._clock)
        flags = 0 if keep else library.VIR_DOMAIN_START_AUTODESTROY
        try:
            guest.start(self.describe(spec), flags, self._prepared(spec, inspect), file_size)
        except library.libvirtError as error:
            guest.destroy()
            raise InfraError(
                f"libvirt at {self.uri} did not start guest {spec.name}: "
                f"{error.get_error_message()}",
                remedy="QEMU's messages, if any, are below; "
                "harness doctor lists what this host lacks",
                detail=guest.stderr_tail(),
            ) from error
        except BaseException:
            guest.destroy()
            raise
        return guest

    def _prepared(self, spec: GuestSpec, inspect: Inspect) -> Inspect:
        """Return what is done with a guest before its first instruction.

        Afterwards, the descriptors in ``GuestSpec.ram`` refer to QEMU's memory.
        """

        def prepare(guest: Guest) -> None:
            inspect(guest)
            if spec.ram and guest.pid is not None:
                try:
                    move_memory(list(spec.ram.values()), guest.pid, _MEMORY)
                except OSError as error:
                    raise InfraError(
                        f"cannot open the memory of guest {spec.name}: {error}",
                        remedy="--no-snapshot boots it with memory of QEMU's own",
                    ) from error
            if spec.saved is not None and guest.monitor is not None:
                load_file(guest.monitor, spec.saved, self._clock)

        return prepare

    def _connect(self, library: Any) -> Any:
        for last in (False, True):
            if self._daemon is not None:
                self._daemon.ensure()
            try:
                connection = library.open(self.uri)
                connection.setKeepAlive(_KEEPALIVE_SECONDS, _KEEPALIVE_COUNT)
            except library.libvirtError as error:
                # A private daemon may have just exited as idle: try once more.
                if last or self._daemon is None:
                    raise _no_connection(self.uri, error) from error
            else:
                return connection
        raise AssertionError("unreachable")

    def _log(self, name: str) -> Path | None:
        if self._daemon is not None:
            return self._daemon.log_directory / f"{name}.log"
        if self.uri == SESSION_URI:
            cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            return Path(cache, "libvirt", "qemu", "log", f"{name}.log")
        return None

    def _wrapper(self) -> Path:
        return self._workspace.cache / "libvirt" / "qemu-memoryless"

    def _prepare(self, spec: GuestSpec) -> None:
        """Check that this host can run the guest."""
        if urlsplit(self.uri).hostname:
            raise UsageError(
                f"libvirt at {self.uri} runs on another host, which cannot reach the guest's "
                f"console socket {spec.console_socket} on this one",
                remedy="run the harness there, or name a libvirtd of this host with --libvirt-uri",
            )
        check_memory(spec, self._available())
        emulator = shutil.which(GUEST.program)
        if emulator is None:
            raise missing_program(GUEST.program)
        if needs_wrapped_emulator(spec):
            self._write_wrapper(memoryless_emulator(emulator))

    def _write_wrapper(self, text: str) -> None:
        # libvirt queries an emulator's capabilities again whenever the file changes.
        path = self._wrapper()
        if not path.is_file() or path.read_text() != text:
            write_atomic(path, text)
            path.chmod(0o755)


@functools.cache
def _library() -> Any:
    """Import libvirt's Python module, an optional extra; stop it from writing to standard error.

    A thread runs its event loop, without which it does not notice a dead connection.
    """
    try:
        library = importlib.import_module("libvirt")
    except ImportError as error:
        raise InfraError(
            f"libvirt's Python module is not usable: {error}",
            remedy="install it: apt-get install libvirt-dev pkg-config python3-dev gcc "
            f"&& {sys.executable} -m pip install libvirt-python; or use --backend qemu",
        ) from error
    library.registerErrorHandler(lambda *_: None, None)
    library.virEventRegisterDefaultImpl()
    thread = threading.Thread(
        target=_run_events, args=(library,), name="libvirt-events", daemon=True
    )
    thread.start()
    return library


def _run_events(library: Any) -> None:
    while True:
        library.virEventRunDefaultImpl()


def destroy_domain(uri: str, name: str) -> None:
    """End a kept domain; does nothing if libvirt or the domain is gone.

    Raises:
        InfraError: libvirt's Python module is missing.
    """
    library = _library()
    with contextlib.suppress(library.libvirtError), contextlib.closing(library.open(uri)) as there:
        there.lookupByName(name).destroy()


def _no_connection(uri: str, error: Exception) -> InfraError:
    return InfraError(
        f"cannot connect to libvirt at {uri}: {error}",
        remedy="check that a libvirtd runs there and permits access, "
        "omit --libvirt-uri, or use --backend qemu",
    )


def _make(host: BackendHost) -> LibvirtBackend:
    uri = host.options.get("libvirt_uri")
    return LibvirtBackend(host.runner, host.clock, host.workspace, uri=uri)


def _findings(doctor: Doctor) -> Iterator[HostFinding]:
    """Yield the doctor's findings; boots do not depend on them."""
    version = doctor.module("libvirt-python")
    if version:
        yield good("libvirt's Python module", version, needed=False)
    else:
        yield HostFinding(
            "libvirt's Python module", False, "not installed",
            f"{install(('libvirt-dev', 'pkg-config', 'python3-dev', 'gcc'))} && "
            f"{sys.executable} -m pip install libvirt-python",
            needed=False,
        )  # fmt: skip
    for name in ("libvirtd", "virtlogd"):
        place = doctor.program(name)
        packages = ("libvirt-daemon-system", "libvirt-daemon-driver-qemu")
        yield (
            good(name, str(place), needed=False)
            if place
            else lacking(name, *packages, needed=False)
        )


TYPE: Final = BackendType(_make, findings=_findings)
