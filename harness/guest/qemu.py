"""The backend that starts QEMU directly."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.errors import InfraError
from harness.guest.backend import (
    GuestEnding,
    GuestExit,
    Inspect,
    Whereabouts,
    ending_of_reason,
    qemu_exit,
)
from harness.guest.backends import BackendHost, BackendType
from harness.guest.controlled import ControlledGuest
from harness.guest.diskfiles import largest_file, open_disks
from harness.guest.firmware import firmware_for
from harness.guest.memory import check_memory
from harness.guest.migration import load_file
from harness.guest.qemu_argv import CONTROL, qemu_argv, serial_name
from harness.guest.qmp import START_SECONDS, ControlChannel
from harness.guest.serialtap import SerialTap
from harness.host.accelerator import KVM_DEVICE, Accelerator
from harness.host.confinement import Identity, confined, guest_identity, qemu_limits
from harness.host.memory import available_memory
from harness.host.processid import ProcessId
from harness.host.procfs import cpu_seconds
from harness.host.programs import require_program
from harness.host.sockets import connected
from harness.image.media import BootMethod, Media

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from harness.guest.spec import GuestSpec
    from harness.host.clock import Clock
    from harness.host.process import Process, Runner

_STDERR_BYTES: Final = 8192


class QemuGuest(ControlledGuest):
    """A guest in a QEMU process of this harness; see ``Guest``."""

    def __init__(self, process: Process, control: ControlChannel, stderr: IO[bytes]) -> None:
        super().__init__(control)
        self._process = process
        self._stderr = stderr
        self._last_words = ""
        self._killed = False

    @property
    def pid(self) -> int | None:
        """See ``Guest``; QEMU's process id, not that of a wrapper."""
        return self._control.pid or self._process.pid

    def stop_state(self) -> str | None:
        """See ``Guest``."""
        self._control.drain()
        return self._control.stop_state()

    def wait(self, timeout: float | None = None) -> GuestExit | None:
        """See ``Guest``."""
        returncode = self._process.wait(timeout)
        self._control.drain()
        if returncode is None:
            return None
        self._release()
        return qemu_exit(self._ending(), returncode, self._last_words)

    def destroy(self) -> None:
        """See ``Guest``."""
        self._killed = self._killed or self._process.poll() is None
        try:
            self._process.kill()
        finally:
            self._release()

    def leave(self) -> Whereabouts | None:
        """See ``Guest``."""
        if self._process.poll() is not None:
            return None
        process = ProcessId.of(self._process.pid)
        self._control.drain()
        control = self._control.release()
        self._release()
        return Whereabouts(process, control=control) if process else None

    def cpu_seconds(self) -> float | None:
        """See ``Guest``."""
        return cpu_seconds(self.pid)

    def stderr_tail(self) -> str:
        """See ``Guest``."""
        return self._last_words if self._stderr.closed else _tail(self._stderr)

    def _release(self) -> None:
        self._last_words = self.stderr_tail()
        self._control.drain()
        self._control.close()
        self._stderr.close()

    def _ending(self) -> GuestEnding:
        if self._control.shutdown_reason is not None:
            return ending_of_reason(self._control.shutdown_reason)
        return GuestEnding.KILLED if self._killed else GuestEnding.CRASHED


class QemuBackend:
    """Starts a QEMU process for each guest; see ``Backend``.

    Args:
        runner: starts the process, which ends with the harness.
        clock: measures timeouts.
        available: bytes of host memory that guests may take.
        user: user that root's guests run as; see ``guest_identity``.
    """

    name = "qemu"
    unproven = ()
    methods = tuple(BootMethod)
    saves_state = True

    def __init__(
        self, runner: Runner, clock: Clock, available: Callable[[], int] = available_memory,
        user: str | None = None,
    ) -> None:  # fmt: skip
        self._runner = runner
        self._clock = clock
        self._available = available
        self._user = user

    def identity(self, accelerator: Accelerator) -> Identity | None:
        """See ``Backend``.

        Raises:
            UsageError: the user in the settings does not exist.
        """
        return guest_identity(self._user, KVM_DEVICE if accelerator is Accelerator.KVM else None)

    def firmware(self, media: Media) -> Path | None:
        """See ``Backend``."""
        return firmware_for(media)

    def open_port(self, path: Path, nap: float = 0.0) -> SerialTap:
        """See ``Backend``."""
        return SerialTap(path, nap)

    def describe(self, spec: GuestSpec) -> str:
        """See ``Backend``."""
        return shlex.join(qemu_argv(spec)) + "\n"

    def start(
        self, spec: GuestSpec, *, keep: bool = False, inspect: Inspect = lambda _: None
    ) -> QemuGuest:
        """See ``Backend``.

        Raises:
            InfraError: QEMU is missing or does not start, or memory is short.
        """
        check_memory(spec, self._available())
        require_program(GUEST.program)
        control, theirs = ControlChannel.paired(self._clock)
        stderr = tempfile.TemporaryFile()  # noqa: SIM115 - the guest closes it at its end
        try:
            with theirs:
                process = self._spawn(spec, theirs, stderr, keep=keep)
        except BaseException:
            control.close()
            stderr.close()
            raise
        guest = QemuGuest(process, control, stderr)
        try:
            self._await(spec, guest, process, control)
            inspect(guest)
            if spec.saved is not None:
                load_file(control, spec.saved, self._clock)
            guest.query("cont")
        except BaseException:
            guest.destroy()
            raise
        return guest

    def _spawn(
        self, spec: GuestSpec, control: socket.socket, stderr: IO[bytes], *, keep: bool
    ) -> Process:
        """Start QEMU with its sockets and disks as descriptors.

        No path leads to the sockets, and the disks' directories may be closed to QEMU's user.
        """
        with contextlib.ExitStack() as open_until_it_has_them:
            descriptors = {CONTROL: control.fileno()}
            for number, path in enumerate(spec.all_serial_sockets):
                port = open_until_it_has_them.enter_context(connected(path))
                descriptors[serial_name(number)] = port.fileno()
            opened = open_disks(spec.disks, open_until_it_has_them)
            descriptors.update(opened)
            limits = qemu_limits(
                spec.topology.memory_mib, spec.cpus, spec.identity, largest_file(spec.disks, opened)
            )
            return self._runner.spawn(
                confined(
                    qemu_argv(replace(spec, media=spec.local_media), descriptors=descriptors),
                    spec.identity, limits,
                ),
                cwd=None if spec.identity is None else spec.media.top.parent,
                stderr=stderr, pass_fds=(*descriptors.values(), *spec.ram.values()),
                outlives_us=keep,
            )  # fmt: skip

    def _await(
        self, spec: GuestSpec, guest: QemuGuest, process: Process, control: ControlChannel
    ) -> None:
        deadline = self._clock.monotonic() + START_SECONDS
        while not control.ready(timeout=0.1):
            returncode = process.poll()
            if returncode is not None:
                raise InfraError(
                    f"QEMU ended with exit status {returncode} before guest {spec.name} started",
                    remedy=_remedy(guest.stderr_tail(), spec.identity),
                    detail=guest.stderr_tail(),
                )
            if self._clock.monotonic() > deadline:
                raise InfraError(
                    f"QEMU did not answer within {START_SECONDS:g} s of starting guest {spec.name}",
                    remedy="check that the host is not out of memory; try --accelerator tcg",
                    detail=guest.stderr_tail(),
                )


def _remedy(stderr: str, identity: Identity | None) -> str:
    """Return the remedy for a QEMU that did not start."""
    if identity is not None and os.strerror(errno.EACCES) in stderr:
        return (
            f"the guest runs as user {identity.uid}, who may not access the file named below: open "
            "it and the directories above it to other users, or set qemu.user"
        )
    return "QEMU's messages are below; harness doctor lists what this host lacks"


def _tail(file: IO[bytes]) -> str:
    # Does not seek: QEMU writes through the same file offset.
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), _STDERR_BYTES, max(0, size - _STDERR_BYTES)).decode(
        "utf-8", "replace"
    )


def _make(host: BackendHost) -> QemuBackend:
    return QemuBackend(host.runner, host.clock, user=host.options.get("user"))


TYPE: Final = BackendType(_make)
