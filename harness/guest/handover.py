"""Lays out what an existing machine boots from."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.host.workspace import host_refused
from harness.image.media import DirectKernel, EfiDirectory
from harness.image.recipe import LOADER_SCRIPT

if TYPE_CHECKING:
    from harness.image.media import Media

VOLUME: Final = "volume"
LOADER_CONF: Final = "loader.conf"
KERNEL: Final = "kernel"
COMMAND_LINE: Final = "command-line"

_SET: Final = re.compile(r'^@set (?P<name>[^=\s]+)="(?P<value>[^"]*)"$', re.MULTILINE)


def hand_over(media: Media, directory: Path) -> None:
    """Write the media to ``directory``; ``vmconfigs/README.md`` lists the names.

    For the loader: ``volume``, the EFI system partition with kernel, module, root file system and
    the loader's script, and ``loader.conf`` with the kernel environment for a loader of the
    machine's own. For a direct start: ``kernel``, an ELF file that QEMU's ``-kernel`` starts, and
    ``command-line``.

    Raises:
        InfraError: the files cannot be written.
    """
    try:
        match media:
            case EfiDirectory(volume):
                shutil.copytree(volume, directory / VOLUME, copy_function=_linked_or_copied)
                script = (volume / LOADER_SCRIPT).read_text("ascii")
                (directory / LOADER_CONF).write_text(loader_conf(script), "ascii")
            case DirectKernel(kernel, append):
                _linked_or_copied(kernel, directory / KERNEL)
                (directory / COMMAND_LINE).write_text(f"{append}\n", "utf-8")
    except OSError as error:
        raise host_refused(directory, error) from error


def loader_conf(script: str) -> str:
    """Return the kernel environment that a loader script sets, as loader.conf(5)."""
    return "".join(f'{found["name"]}="{found["value"]}"\n' for found in _SET.finditer(script))


def _linked_or_copied(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
