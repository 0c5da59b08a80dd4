"""The volume with modules of the kernel under test, the second disk of a guest with a world."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.guest.devices import GuestDisk
from harness.host.workspace import host_error, make_directory
from harness.kernel.treemodule import own_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.host.process import Runner

NUMBER: Final = 1
"""Its place in ``GuestSpec.disks``."""

_PLACE: Final = "/boot/modules"
"""Where the guest has it, one of the directories of ``kern.module_path``."""

_MIB: Final = 1 << 20
_SPARE_MIB: Final = 4


def module_volume(modules: Iterable[Path], directory: Path, runner: Runner) -> GuestDisk:
    """Make the volume in a guest's directory.

    Args:
        modules: the modules' files, under the names of the cache.
        directory: the guest's directory.
        runner: starts makefs.

    Raises:
        InfraError: makefs is not installed, or failed, or the disk is full.
    """
    content, volume = directory / "modules", directory / "modules.ufs"
    make_directory(content)
    try:
        copies = [Path(shutil.copyfile(file, content / own_name(file.name))) for file in modules]
        size = sum(copy.stat().st_size for copy in copies)
    except OSError as error:
        raise host_error(error) from error
    # makefs's own estimate leaves no room for its tables if the files are few.
    room = f"{_SPARE_MIB + size * 5 // 4 // _MIB}m"
    runner.run(["makefs", "-t", "ffs", "-o", "version=1", "-s", room, volume, content])
    return GuestDisk(volume, read_only=True)


def mount_command(device: str) -> str:
    """Return the command that mounts the volume in a guest, unless it is mounted."""
    return (
        f"mount -p | grep -q '[[:space:]]{_PLACE}[[:space:]]' || "
        f"mount -t ufs -o ro /dev/{device} {_PLACE}"
    )
