"""Specification of one guest, from which all backends create the same machine."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.errors import InfraError, UsageError
from harness.guest.devices import MOST_DISKS, GuestDisk, Network

if TYPE_CHECKING:
    from harness.guest.topology import Topology
    from harness.host.accelerator import Accelerator
    from harness.host.confinement import Identity
    from harness.image.media import Media

DISK_SLOT: Final = 2
"""PCI slot of the guest's disk on the root bus, the same under both backends."""

MAX_SOCKET_PATH: Final = 103
"""Most bytes of a path in ``sockaddr_un``, without NUL: 103 on FreeBSD and macOS, 107 on Linux."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


@dataclass(frozen=True, slots=True)
class GuestSpec:
    """Everything that decides how a guest is started.

    Args:
        name: shown in messages and process lists; letters, digits and ``._+-``.
        topology: nodes, CPUs, memory and distances.
        media: the media that it boots from.
        accelerator: the accelerator that executes the guest's instructions.
        firmware: UEFI code (a pflash image) for an ``EfiDirectory``; None for a ``DirectKernel``
            and for machines with firmware of their own.
        console_socket: unix socket on which the harness listens. The guest's first serial port
            connects to it, so no byte is lost.
        sata: keep the board's SATA controller. FreeBSD's AHCI driver loops on it under KMSAN.
        serial_sockets: the same for the second to fourth serial port.
        identity: the user that QEMU runs as; None for the harness's own.
        standalone: start it without the harness, with its console on the terminal.
        disks: disks beside the media, in the order of their PCI slots.
        network: its network; None for none.
        ram: descriptors of the memory that this process shares with QEMU, by node; empty if the
            memory is QEMU's own. Such a guest has a generation id (vmgenid).
        saved: the devices' state that it starts from, with the memory in ``ram``; None for a
            machine that is switched on.

    Raises:
        UsageError: an invalid name, too many serial ports or disks.
        InfraError: a socket's path is too long.
    """

    name: str
    topology: Topology
    media: Media
    accelerator: Accelerator
    firmware: Path | None
    console_socket: Path
    sata: bool = False
    serial_sockets: tuple[Path, ...] = ()
    identity: Identity | None = None
    standalone: bool = False
    disks: tuple[GuestDisk, ...] = ()
    network: Network | None = None
    ram: Mapping[int, int] = field(default_factory=dict)
    saved: Path | None = None

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise UsageError(
                f"invalid guest name {self.name!r}",
                remedy="use up to 100 letters, digits, dots, pluses, dashes and underscores",
            )
        if len(self.all_serial_sockets) > GUEST.board.max_serial_ports:
            raise UsageError(
                f"{len(self.all_serial_sockets)} serial ports",
                remedy=f"a guest has at most {GUEST.board.max_serial_ports}",
            )
        if len(self.disks) > MOST_DISKS:
            raise UsageError(f"{len(self.disks)} disks", remedy=f"a guest has at most {MOST_DISKS}")
        for path in (*self.all_serial_sockets, self.control_socket):
            if len(bytes(path)) > MAX_SOCKET_PATH:
                raise InfraError(
                    f"{path}: too long for a unix socket (at most {MAX_SOCKET_PATH} bytes)",
                    remedy="set XDG_RUNTIME_DIR to a shorter path",
                )

    @property
    def all_serial_sockets(self) -> tuple[Path, ...]:
        """The sockets of the first serial port (the console), the second and so on."""
        return (self.console_socket, *self.serial_sockets)

    @property
    def control_socket(self) -> Path:
        """The socket of QEMU's control protocol (QMP), under the QEMU backend."""
        return self.console_socket.with_name(self.console_socket.name + ".qmp")

    @property
    def local_media(self) -> Media:
        """The media with the paths that QEMU opens.

        Under another user, QEMU starts in the directory of its media, because those above are
        closed to it.
        """
        if self.identity is None:
            return self.media
        return self.media.at(Path(self.media.top.name))

    @property
    def flash(self) -> Path:
        """The firmware.

        Raises:
            UsageError: the guest has none.
        """
        if self.firmware is None:
            raise UsageError(
                f"guest {self.name} boots through UEFI but has no firmware",
                remedy=f"give the path of {GUEST.firmware.name}'s code image (Debian package "
                f"{GUEST.firmware.package})",
            )
        return self.firmware

    @property
    def cpus(self) -> int:
        """Number of CPUs."""
        return self.topology.cpus


def display_name(name: str, console_socket: Path) -> str:
    """Return the unique name shown by ``ps`` and ``virsh list``.

    It identifies a guest that outlives its harness.
    """
    return f"harness-{name}-{zlib.crc32(bytes(console_socket)):08x}"
