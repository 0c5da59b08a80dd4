"""What a guest boots from: the last noun of the image stage, the first of the guest's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path


class BootMethod(StrEnum):
    """What brings a kernel into memory and enters it."""

    LOADER = "loader"
    """UEFI firmware and FreeBSD's loader, as on most machines"""
    DIRECT = "direct"
    """QEMU by itself, which takes seconds less"""


@dataclass(frozen=True, slots=True)
class EfiFolder:
    """A folder that the guest's firmware sees as a read-only FAT volume.

    It holds the loader (``harness.arch``) and what that reads: ``boot/loader.rc``,
    ``boot/kernel/kernel``, ``boot/mfsroot``.
    """

    folder: Path

    @property
    def top(self) -> Path:
        """What the guest reads."""
        return self.folder

    def at(self, top: Path) -> EfiFolder:
        """The same elsewhere."""
        return replace(self, folder=top)


@dataclass(frozen=True, slots=True)
class DirectKernel:
    """An ELF kernel with a PVH entry note, started by QEMU itself without firmware of ours.

    ``append`` is the kernel's command line.
    """

    kernel: Path
    append: str = ""

    @property
    def top(self) -> Path:
        """What the guest reads."""
        return self.kernel

    def at(self, top: Path) -> DirectKernel:
        """The same elsewhere."""
        return replace(self, kernel=top)


Media = EfiFolder | DirectKernel
