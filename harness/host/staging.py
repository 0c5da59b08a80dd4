"""Files made readable for the user that a guest's QEMU runs as, and for no other user."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.host.workspace import host_refused

if TYPE_CHECKING:
    from harness.host.confinement import Identity

_FILE_MODE: Final = 0o644
_DIRECTORY_MODE: Final = 0o755


def staged(top: Path, directory: Path, identity: Identity | None) -> Path:
    """Make the file or directory ``top`` readable for ``identity``; return its path.

    ``directory`` is the guest's directory: ``identity`` can read it, and only this process can
    write to it. QEMU is started in it, so the directories above can stay closed. Hard links and
    files outside of it are copied, not changed.

    Raises:
        InfraError: a file cannot be copied or changed.
    """
    if identity is None:
        return top
    try:
        if not top.is_relative_to(directory):
            top = Path(shutil.copyfile(top, directory / f"staged-{top.name}"))
        between = [path for path in top.parents if path.is_relative_to(directory)][:-1]
        for path in (*between, top, *(top.rglob("*") if top.is_dir() else ())):
            _make_readable(path)
        os.chown(directory, os.geteuid(), identity.gid)
        directory.chmod(0o750)
    except OSError as error:
        raise host_refused(Path(str(error.filename or top)), error) from error
    return top


def _make_readable(path: Path) -> None:
    status = path.lstat()
    if stat.S_ISDIR(status.st_mode):
        path.chmod(_DIRECTORY_MODE)
    elif not status.st_mode & stat.S_IROTH:
        if status.st_nlink > 1:
            copy = path.with_name(f".{path.name}.copy")
            shutil.copyfile(path, copy)
            copy.replace(path)
        path.chmod(_FILE_MODE)
