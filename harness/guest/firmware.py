"""Finds the UEFI firmware for guests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.arch import GUEST
from harness.errors import InfraError
from harness.image.media import DirectKernel

if TYPE_CHECKING:
    from harness.image.media import Media


def firmware_for(media: Media) -> Path | None:
    """Return the firmware for guests that boot from ``media``; None if they need none.

    Raises:
        InfraError: see ``find_firmware``.
    """
    return None if isinstance(media, DirectKernel) else find_firmware()


def find_firmware(candidates: Sequence[Path] | None = None) -> Path:
    """Return the first installed firmware image among those that ``harness.arch`` names.

    Raises:
        InfraError: none is installed.
    """
    firmware = GUEST.firmware
    if candidates is None:
        candidates = [Path(path) for path in firmware.code]
    for path in candidates:
        if path.is_file():
            return path
    raise InfraError(
        f"no UEFI firmware for guests ({firmware.name}) on this host: none of "
        + ", ".join(str(path) for path in candidates),
        remedy=f"install it: apt-get install {firmware.package}; or do without it: --boot direct",
    )
