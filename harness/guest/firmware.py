"""Where hosts keep the UEFI firmware (OVMF) for guests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.errors import InfraError
from harness.image.media import DirectKernel

if TYPE_CHECKING:
    from harness.image.media import Media

OVMF_CODE: Final = (
    # Debian, Ubuntu. The 2 MiB build comes up in 2.4 s of CPU time under emulation, the 4 MiB
    # build, which newer releases have alone, in 2.9 s.
    Path("/usr/share/OVMF/OVMF_CODE.fd"),
    Path("/usr/share/OVMF/OVMF_CODE_4M.fd"),
    Path("/usr/share/edk2/ovmf/OVMF_CODE.fd"),  # Fedora
    Path("/usr/share/edk2/x64/OVMF_CODE.4m.fd"),  # Arch
    Path("/usr/share/qemu/ovmf-x86_64-code.bin"),  # openSUSE
    Path("/usr/local/share/edk2-qemu/QEMU_UEFI_CODE-x86_64.fd"),  # FreeBSD
)
"""Code images without secure boot; their variables live in memory only, and die with the guest."""


def firmware_for(media: Media) -> Path | None:
    """What starts a guest from ``media``; None where QEMU does so by itself.

    Raises:
        InfraError: see ``find_firmware``.
    """
    return None if isinstance(media, DirectKernel) else find_firmware()


def find_firmware(candidates: Sequence[Path] = OVMF_CODE) -> Path:
    """The first firmware image that is there.

    Raises:
        InfraError: none is.
    """
    for path in candidates:
        if path.is_file():
            return path
    raise InfraError(
        "no UEFI firmware for guests (OVMF) on this host: none of "
        + ", ".join(str(path) for path in candidates),
        remedy="install it: apt-get install ovmf; or do without it: --boot direct",
    )
