"""A guest with a world: its root disk, its kernel environment, and the way in."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.boot.media import method_of
from harness.guest.devices import LOOPBACK, DiskFormat, GuestDisk
from harness.image.media import BootMethod

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.boot.plan import BootPlan
    from harness.console.report import GuestReport
    from harness.guest.contact import Contact
    from harness.host.clock import Clock
    from harness.host.process import Runner
    from harness.kernel.artifact import KernelArtifact
    from harness.shell.shell import Shell
    from harness.world.image import World


def world_tunables(method: BootMethod, world: World | None) -> Mapping[str, str]:
    """Return the kernel environment of a guest whose first disk is a world's; empty without one."""
    if world is None:
        return {}
    from harness.world.layout import REPORTER

    return {
        "vfs.root.mountfrom": f"ufs:/dev/{disk_device(method, 0)}{world.identity.partition}",
        "init_path": f"/{REPORTER}",
        "harness.world": "1",
    }


def disk_device(method: BootMethod, number: int) -> str:
    """Return FreeBSD's name of a disk of ``GuestSpec.disks``.

    It counts virtio disks in the order of their PCI slots, the loader's volume first.
    """
    return f"vtbd{number + (method is BootMethod.LOADER)}"


def new_overlay(image: GuestDisk, directory: Path, runner: Runner) -> GuestDisk:
    """Create an overlay of a disk in ``directory``; what the guest writes ends with it.

    Raises:
        InfraError: qemu-img is not installed, or failed.
    """
    overlay = directory / "root.qcow2"
    words = (
        "qemu-img", "create", "-q", "-f", "qcow2", "-F", image.format, "-b", image.path, overlay,
    )  # fmt: skip
    runner.run(words)
    return GuestDisk(overlay, read_only=False, format=DiskFormat.QCOW2, backing=image)


def world_disks(
    kernel: KernelArtifact, plan: BootPlan, directory: Path, runner: Runner
) -> tuple[GuestDisk, ...]:
    """Return the disks of a guest: its world's, and the volume of modules; none without a world."""
    if plan.world is None:
        return ()
    image = GuestDisk(plan.world.disk, read_only=True, format=DiskFormat.QCOW2)
    root = new_overlay(image, directory, runner)
    if not plan.modules:
        return (root,)
    from harness.boot.modulevolume import module_volume

    files = (kernel.loadable[name] for name in plan.modules)
    return (root, module_volume(files, directory, runner))


def first_command(kernel: KernelArtifact, plan: BootPlan) -> str:
    """Return the command that mounts the volume of modules; empty without one."""
    if not plan.modules:
        return ""
    from harness.boot.modulevolume import NUMBER, mount_command

    return mount_command(disk_device(method_of(kernel.identity, plan.method), NUMBER))


@dataclass(frozen=True, slots=True)
class WorldShells:
    """Logs in to guests with a world; see ``harness.boot.shellclient.Shells``."""

    @property
    def tunables(self) -> Mapping[str, str]:
        """See ``Shells``: SSH needs none."""
        return {}

    def open(self, contact: Contact, report: GuestReport, time: Clock) -> Shell:
        """See ``Shells``."""
        del report
        return contact.shell(time)


_WARM_SECONDS: Final = 60.0


@dataclass(slots=True)
class Login:
    """The way into a guest with a world, over SSH.

    Args:
        world: the world; None for a guest without one.
        first: a command that runs after each login; empty for none.
        port: the port of the loopback address that leads to the guest's sshd; None before the
            guest is started.
    """

    world: World | None
    first: str = ""
    port: int | None = None

    def __call__(self, time: Clock) -> Shell:
        """Return a shell that has not logged in; see ``Contact.shell``."""
        return self._shell(time, self.first)

    def _shell(self, time: Clock, first: str) -> Shell:
        from harness.shell.shell import ShellRefusedError
        from harness.shell.ssh.address import SshAddress
        from harness.shell.ssh.connect import ssh_shell

        if self.world is None or self.port is None:
            raise ShellRefusedError("the guest has no world to log in to")
        address = SshAddress(LOOPBACK, self.port, "root", self.world.host_key, self.world.key)
        return ssh_shell(address, time, first)

    def warm_up(self, time: Clock) -> None:
        """Log in once, so that the guest has read what a login takes.

        Raises:
            ShellError: the guest does not let the harness in.
        """
        # What the first command leaves behind would be in the snapshot.
        with contextlib.closing(self._shell(time, "")) as shell:
            shell.connect()
            shell.run("true", timeout=_WARM_SECONDS)
