"""Types of boot media."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path


class BootMethod(StrEnum):
    """How a kernel is loaded and started."""

    LOADER = "loader"
    """UEFI firmware and FreeBSD's loader, as on most machines"""
    DIRECT = "direct"
    """QEMU itself, which is seconds faster"""


@dataclass(frozen=True, slots=True)
class EfiDirectory:
    """A directory that QEMU presents to the guest's firmware as a read-only FAT volume.

    It contains the loader (``harness.arch``), ``boot/loader.rc``, ``boot/kernel/kernel`` and
    ``boot/mfsroot``.
    """

    directory: Path

    @property
    def top(self) -> Path:
        """The file or directory that the guest reads."""
        return self.directory

    def at(self, top: Path) -> EfiDirectory:
        """Return the media at another path."""
        return replace(self, directory=top)


@dataclass(frozen=True, slots=True)
class DirectKernel:
    """An ELF kernel with a PVH entry note, which QEMU itself starts.

    ``append`` is the kernel's command line.
    """

    kernel: Path
    append: str = ""

    @property
    def top(self) -> Path:
        """The file or directory that the guest reads."""
        return self.kernel

    def at(self, top: Path) -> DirectKernel:
        """Return the media at another path."""
        return replace(self, kernel=top)


Media = EfiDirectory | DirectKernel
