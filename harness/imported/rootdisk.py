"""Where an image has FreeBSD's root file system, and which FreeBSD that is."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.errors import UsageError
from harness.imported.given import opened
from harness.imported.partitions import UFS_TYPE, ZFS_TYPE, read_partitions
from harness.imported.ufs import Ufs, UfsError, open_ufs

if TYPE_CHECKING:
    from pathlib import Path

_VERSION_FILE: Final = "bin/freebsd-version"
_PROGRAM: Final = "bin/sh"
_MOST_BYTES: Final = 64 << 10

_RELEASE = re.compile(rb'^USERLAND_VERSION="([0-9A-Za-z.-]{1,40})"', re.MULTILINE)
_ELF: Final = b"\x7fELF"
_MACHINE = slice(18, 20)

_ISO: Final = b"CD001"
_ISO_AT: Final = 0x8001


@dataclass(frozen=True, slots=True)
class RootDisk:
    """A disk with FreeBSD's root file system.

    Args:
        partition: the suffix of its partition's name, such as ``p4``; empty if the file system
            fills the disk.
        release: the release of the userland, such as 15.1-RELEASE-p1.
    """

    partition: str
    release: str


def read_root(path: Path, name: str) -> RootDisk:
    """Find the root file system of an image.

    Args:
        path: the disk, a raw file.
        name: the image's name in errors.

    Raises:
        UsageError: there is none, its FreeBSD is of another architecture, or the image is damaged.
        InfraError: the file cannot be read.
    """
    with opened(path) as file:
        end = file.seek(0, os.SEEK_END)
        _refuse_iso(file, name)
        partitions = read_partitions(file, name)
        places = [("", 0, end)]
        if partitions is not None:
            places = [
                (f"p{part.number}", part.offset, part.size)
                for part in partitions
                if part.kind == UFS_TYPE
            ]
        why = "it has no partition with UFS"
        for partition, offset, room in places:
            try:
                system = open_ufs(file, offset, room)
                if system.has(_VERSION_FILE):
                    return _identified(system, partition, name)
                why = f"its file system has no {_VERSION_FILE}"
            except UfsError as error:
                why = str(error)
        if partitions and any(part.kind == ZFS_TYPE for part in partitions):
            why = "its root is on ZFS, and FreeBSD's images with UFS alone are supported"
    raise UsageError(
        f"the image {name} has no root file system of FreeBSD: {why}",
        remedy="name an image of a virtual machine, raw or qcow2, such as FreeBSD's own for UFS",
    )


def _identified(system: Ufs, partition: str, name: str) -> RootDisk:
    found = _RELEASE.search(system.read(_VERSION_FILE, _MOST_BYTES))
    if found is None:
        raise UsageError(
            f"the image {name}: /{_VERSION_FILE} does not tell its release",
            remedy="name an image of FreeBSD",
        )
    program = system.read(_PROGRAM, _MOST_BYTES)
    machine = int.from_bytes(program[_MACHINE], "little")
    if not program.startswith(_ELF) or machine != GUEST.elf_machine:
        raise UsageError(
            f"the image {name} is of another architecture than {GUEST.name}: its /{_PROGRAM} is "
            f"for the ELF machine {machine}",
            remedy=f"name an image for {GUEST.name}",
        )
    return RootDisk(partition, found[1].decode())


def _refuse_iso(file: IO[bytes], name: str) -> None:
    file.seek(_ISO_AT)
    if file.read(len(_ISO)) == _ISO:
        raise UsageError(
            f"the image {name} is a CD image",
            remedy="name the image of a virtual machine, which FreeBSD publishes as VM-IMAGES",
        )
