"""The first boot of an image that was made elsewhere, in which the harness's files are added."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.boot.booter import new_nonce
from harness.boot.guestdir import GuestDir, temporary_guest_dir
from harness.boot.listen import Cancelled
from harness.boot.media import check_guest_memory, make_media, method_of
from harness.boot.worldguest import disk_device, new_overlay
from harness.errors import InfraError, UsageError
from harness.guest.backend import GuestEnding
from harness.guest.devices import GuestDisk
from harness.guest.serialtap import NAP_SECONDS
from harness.guest.spec import GuestSpec
from harness.host.staging import staged
from harness.image.recipe import Payload
from harness.imported.firstlogin import FirstLogin, WayIn
from harness.kernel.artifact import kept
from harness.kernel.verify import private_copy
from harness.world.addition import make_config_drive, prepare_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO
    from pathlib import Path

    from harness.boot.plan import BootPlan
    from harness.guest.backend import Backend, Guest
    from harness.guest.serialtap import SerialPort
    from harness.host.clock import Clock
    from harness.host.process import Runner
    from harness.host.progress import Progress
    from harness.host.workspace import Workspace
    from harness.kernel.artifact import KernelArtifact

_LOOK_SECONDS: Final = 0.2
_SHOWN: Final = 3000
"""How much of the end of the console an error shows, in bytes."""

_MOST_OUTPUT: Final = 16 << 20

_BOOT_SECONDS: Final = 300.0
"""Limit of a boot with FreeBSD's default services on a fast accelerator."""

_HALT_SECONDS: Final = 30.0
"""The same, of a shutdown."""


@dataclass(frozen=True, slots=True)
class FirstBoot:
    """Boots an image once.

    Args:
        workspace: holds sockets and scratch directories.
        runner: starts programs.
        clock: measures time.
        backend: starts the guest.
        progress: receives the stages.
        cancelled: set when the user interrupts the command.
    """

    workspace: Workspace
    runner: Runner
    clock: Clock
    backend: Backend
    progress: Progress
    cancelled: threading.Event

    def prepare(
        self, name: str, kernel: KernelArtifact, plan: BootPlan, image: GuestDisk, partition: str,
        archive: Path, keep: Callable[[GuestDisk], None],
    ) -> WayIn:  # fmt: skip
        """Boot an image, let it add the files of an archive, and pass the result on.

        Args:
            name: the guest's name.
            kernel: the kernel.
            plan: topology, accelerator, boot method, tunables and timeout.
            image: the disk, which is only read.
            partition: the suffix of the root partition's name; empty for none.
            archive: see ``ImportAddition``.
            keep: called with the written overlay of the image, which is removed afterwards.

        Raises:
            UsageError: the image does not come up, or does not let the harness in.
            InfraError: the host failed.
            Cancelled: the user interrupted the command.
        """
        check_guest_memory(kernel.identity, plan.method, plan.topology)
        with kept(kernel, self.workspace), temporary_guest_dir(self.workspace, name) as place:
            self.progress.stage("image")
            nonce = new_nonce()
            method = method_of(kernel.identity, plan.method)
            device = f"/dev/{disk_device(method, 1)}"
            overlay = new_overlay(image, place.directory, self.runner)
            drive = make_config_drive(
                place.directory, prepare_command(device, nonce, WayIn.CONFIG_DRIVE), nonce,
                self.runner,
            )  # fmt: skip
            copy = private_copy(kernel, place.directory / "kernel", self.workspace.verified)
            tunables = {
                "vfs.root.mountfrom": f"ufs:/dev/{disk_device(method, 0)}{partition}",
                **plan.tunables,
            }
            media = make_media(
                copy, plan.method, Payload(tunables, root=False), place.directory, self.workspace,
                self.runner,
            )  # fmt: skip
            identity = self.backend.identity(plan.accelerator)
            media = media.at(staged(media.top, place.directory, identity))
            spec = GuestSpec(
                name=name,
                topology=plan.topology,
                media=media,
                accelerator=plan.accelerator,
                firmware=self.backend.firmware(media),
                console_socket=place.socket,
                identity=identity,
                disks=(overlay, *(GuestDisk(path, read_only=True) for path in (archive, drive))),
            )
            login = FirstLogin(nonce, prepare_command(device, nonce, WayIn.CONSOLE))
            way = self._boot(spec, plan, place, login)
            self.progress.stage("store")
            keep(overlay)
            return way

    def _boot(self, spec: GuestSpec, plan: BootPlan, place: GuestDir, login: FirstLogin) -> WayIn:
        log = place.directory / "console.log"
        with (
            self.backend.open_port(place.socket, NAP_SECONDS) as tap,
            log.open("wb", buffering=0) as sink,
        ):
            self.progress.stage("first boot", log)
            guest = self.backend.start(spec)
            try:
                limit = plan.limit or _BOOT_SECONDS * plan.slowness
                way = self._converse(guest, tap, sink, login, self.clock.monotonic() + limit)
                self.progress.stage("shutdown")
                self._await_end(guest, tap, self.clock.monotonic() + _HALT_SECONDS * plan.slowness)
                return way
            finally:
                guest.destroy()

    def _converse(
        self, guest: Guest, tap: SerialPort, sink: FileIO, login: FirstLogin, deadline: float
    ) -> WayIn:
        """Talk to the console until the files are added; return how that was possible."""
        console, size = b"", 0
        while True:
            if self.cancelled.is_set():
                raise Cancelled
            data = tap.read(_LOOK_SECONDS)
            if data:
                sink.write(data)
                size += len(data)
                console = (console + data)[-_SHOWN:]
                tap.write(login.feed(data))
            if login.way is not None:
                return login.way
            why = login.refusal
            if not why and not data:
                why = _ended(guest, closed=data == b"")
            if not why and self.clock.monotonic() > deadline:
                why = "it did not come up in time; --timeout S gives it longer"
            if not why and size > _MOST_OUTPUT:
                why = "it prints without end"
            if why:
                raise _refused(why, console)

    def _await_end(self, guest: Guest, tap: SerialPort, deadline: float) -> None:
        """Wait until the guest has powered off, so that its file system is clean."""
        while self.clock.monotonic() < deadline:
            if self.cancelled.is_set():
                raise Cancelled
            tap.read(_LOOK_SECONDS)
            if _ended(guest, closed=False):
                return
        raise InfraError(
            "the image did not power off after its first boot",
            remedy="try again; --timeout S gives it longer",
        )


def _ended(guest: Guest, *, closed: bool) -> str:
    """Return how the guest ended, in words; empty while it runs.

    Raises:
        InfraError: the host ended it.
    """
    end = guest.wait(_HALT_SECONDS if closed else 0)
    if end is None:
        return "its console was closed" if closed else ""
    if end.failure is not None:
        raise end.failure
    return "it powered off" if end.ending is GuestEnding.POWEROFF else "its kernel failed or reset"


def _refused(why: str, console: bytes) -> UsageError:
    return UsageError(
        f"the image was not imported: {why}",
        remedy="allow root to log in at the serial console (ttyu0) without a password, or enable "
        "nuageinit in it; the end of its console is below",
        detail=console.decode("utf-8", "replace"),
    )
