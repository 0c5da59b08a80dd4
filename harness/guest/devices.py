"""Disks and the network of a guest: what a specification says of them, and QEMU's options. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from harness.arch import GUEST
from harness.errors import InfraError, UsageError

NETWORK_SLOT: Final = 3
"""PCI slot of the guest's network device on the root bus, the same under both backends."""

FIRST_DISK_SLOT: Final = 4
"""PCI slot of the first of ``GuestSpec.disks``; the others follow, and FreeBSD's ``vtbd`` units are
in the order of the slots."""

MOST_DISKS: Final = 8

LOOPBACK: Final = "127.0.0.1"

_FORWARDED: Final = re.compile(
    rf"^ *TCP\[HOST_FORWARD\] +\d+ +{re.escape(LOOPBACK)} +(?P<host>\d{{1,5}}) +[\d.]+ +"
    r"(?P<guest>\d{1,5}) ",
    re.MULTILINE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Network:
    """User networking: the host reaches one TCP port of the guest; the guest reaches nothing.

    QEMU forwards a port of the host's loopback address that the host's kernel chooses, so that no
    other program can have it: ``Guest.forwarded_port`` returns it. The guest gets the address
    10.0.2.15 by DHCP.

    Args:
        guest_port: the guest's TCP port.
    """

    guest_port: int = 22


class DiskFormat(StrEnum):
    """The format of a disk's file, as QEMU and libvirt name it; it is never guessed."""

    RAW = "raw"
    QCOW2 = "qcow2"


@dataclass(frozen=True, slots=True)
class GuestDisk:
    """A disk of a guest, a virtio block device.

    Args:
        path: its file.
        read_only: whether the guest can only read it.
        format: the file's format.
        backing: what a qcow2 file is an overlay of. The name in the file's own header is ignored,
            so that an image cannot name another file of the host.

    Raises:
        UsageError: a raw file, which cannot be an overlay, has a ``backing``, or one that can be
            written to.
    """

    path: Path
    read_only: bool
    format: DiskFormat = DiskFormat.RAW
    backing: GuestDisk | None = None

    def __post_init__(self) -> None:
        if self.backing is None:
            return
        if self.format is DiskFormat.RAW:
            raise UsageError(f"disk {self.path}: a raw file is no overlay of {self.backing.path}")
        if not self.backing.read_only:
            raise UsageError(f"disk {self.backing.path}: below an overlay, but not read-only")

    @property
    def chain(self) -> tuple[GuestDisk, ...]:
        """The disk and all that it is an overlay of, from the top."""
        return (self, *(self.backing.chain if self.backing else ()))


def disk_name(number: int, depth: int = 0) -> str:
    """Return the name of a disk's file in the ``descriptors`` of ``qemu_argv``.

    Args:
        number: the disk's number, from 0.
        depth: 0 for the disk, 1 for what it is an overlay of, and so on.
    """
    return f"disk{number}.{depth}" if depth else f"disk{number}"


def disk_options(
    disks: tuple[GuestDisk, ...], descriptors: Mapping[str, int] | None = None
) -> Iterator[str]:
    """Yield QEMU's options for a guest's disks.

    Args:
        disks: the disks.
        descriptors: open files that replace the disks' paths, by ``disk_name``.
    """
    fds = descriptors or {}
    for number, disk in enumerate(disks):
        files = []
        for depth, each in enumerate(disk.chain):
            descriptor = fds.get(disk_name(number, depth))
            if descriptor is not None:
                yield from ("-add-fd", f"fd={descriptor},set={descriptor}")
            files.append(str(each.path) if descriptor is None else f"/dev/fdset/{descriptor}")
        name, slot = disk_name(number), FIRST_DISK_SLOT + number
        node = {**_node(disk, files), "node-name": name}
        yield from ("-blockdev", json.dumps(node, separators=(",", ":"), ensure_ascii=False))
        yield from ("-device", f"virtio-blk-pci,drive={name},bus={GUEST.board.bus},addr={slot:#x}")


def _node(disk: GuestDisk, files: list[str]) -> dict[str, object]:
    """Return a node of QEMU's block layer (``qapi/block-core.json``)."""
    # A flush of the guest's reaches the host's page cache, which a killed QEMU does not lose.
    common = {"read-only": disk.read_only, "cache": {"no-flush": True}}
    node: dict[str, object] = {
        "driver": str(disk.format),
        **common,
        "file": {"driver": "file", "filename": files[0], **common},
    }
    if disk.format is DiskFormat.QCOW2:
        node["backing"] = _node(disk.backing, files[1:]) if disk.backing else None
    return node


def network_options(network: Network | None) -> tuple[str, ...]:
    """Return QEMU's options for a guest's network device; none without a network.

    ``restrict=on`` drops all that the guest sends to the host or beyond, except answers to the
    forwarded port, DHCP and ARP.
    """
    if network is None:
        return ()
    forward = f"hostfwd=tcp:{LOOPBACK}:0-:{network.guest_port}"
    return (
        *("-netdev", f"user,id=net0,restrict=on,ipv6=off,{forward}"),
        "-device",
        f"virtio-net-pci,netdev=net0,romfile=,bus={GUEST.board.bus},addr={NETWORK_SLOT:#x}",
    )


def forwarded_port(network: str) -> int:
    """Return the host's forwarded port in the output of QEMU's ``info usernet``.

    Raises:
        InfraError: it has none, or several.
    """
    found = _FORWARDED.findall(network)
    if len(found) != 1:
        raise InfraError(
            f"QEMU forwards {len(found)} ports of {LOOPBACK} to the guest, not one",
            remedy="its monitor's answer to info usernet is below",
            detail=network,
        )
    return int(found[0][0])
