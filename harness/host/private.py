"""Directories that no other user can enter, so that no other user can replace files in them.

The directories above are checked, too, as sshd(8) does for ``authorized_keys``: a user who can
rename one of them can replace the file.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from harness.errors import InfraError

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def private_directory(path: Path) -> None:
    """Create ``path`` with mode 0700, or check that it is such a directory.

    Missing parents are created. The mode of a directory that other users can enter or read, but not
    write, is changed: older versions created it so. ``path`` must not be a symbolic link, nor lie
    below a directory that another user can write to.

    Raises:
        InfraError: the path is not a directory, belongs to another user, can be written by another
            user, or cannot be created.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        status = path.lstat()
    except OSError as error:
        raise _refused(path, f"it cannot be created: {error.strerror}", "") from error
    wrong, remedy = _objection(path, status)
    if wrong:
        raise _refused(path, wrong, remedy)
    above = _writable_by_others(path.parent)
    if above is not None:
        raise _refused(path, f"another user can replace it, because of {above}", "")
    if status.st_mode & _OTHERS:
        _close_to_others(path)


def owned_directory(path: Path) -> None:
    """Create ``path`` with mode 0700 if it is missing, and check its owner and mode.

    For the cache and the state, which may be symbolic links to another disk. A directory that
    cannot be created is not an error here, as some commands do not need it.

    Raises:
        InfraError: the directory belongs to another user, or other users can write to it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        status = path.stat()
    except OSError:  # reported when a file is written there
        return
    if status.st_uid != os.geteuid():
        raise _foreign(path, status)
    if status.st_mode & _OTHERS_WRITE:
        raise InfraError(
            f"{path} is not used: other users can write to it ({_mode(status)})",
            remedy=f"check its files, then: chmod go-w {path}",
        )


def _objection(path: Path, status: os.stat_result) -> tuple[str, str]:
    """Return what is wrong with a private directory, and the remedy; empty if nothing is."""
    if not stat.S_ISDIR(status.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a directory"
        return f"it is {kind}", ""
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}, not to {os.geteuid()}", ""
    if status.st_mode & _OTHERS_WRITE:
        wrong = f"other users can write to it ({_mode(status)})"
        return wrong, f"check its files, then: chmod 700 {path}"
    return "", ""


def _close_to_others(path: Path) -> None:
    """Set the mode to 0700.

    Raises:
        InfraError: the mode cannot be changed.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchmod(fd, stat.S_IRWXU)
        finally:
            os.close(fd)
    except OSError as error:
        wrong = f"its mode cannot be set to 0700: {error.strerror}"
        raise _refused(path, wrong, f"chmod 700 {path}") from error


def _writable_by_others(directory: Path) -> str | None:
    """Return this directory, or one above it, if another user can rename its entries, else None.

    In a sticky directory, such as ``/tmp``, only the owner of an entry can rename it.
    """
    resolved = directory.resolve()
    for one in (resolved, *resolved.parents):
        status = one.stat()
        if status.st_uid not in (0, os.geteuid()):
            return f"{one}, which belongs to user {status.st_uid}"
        if status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX:
            return f"{one}, which other users can write to ({_mode(status)})"
    return None


def _mode(status: os.stat_result) -> str:
    return f"mode {stat.S_IMODE(status.st_mode):04o}"


def _foreign(path: Path, status: os.stat_result) -> InfraError:
    return InfraError(
        f"{path} is not used: it belongs to user {status.st_uid}, not to {os.geteuid()}",
        remedy="set HOME, XDG_CACHE_HOME and XDG_STATE_HOME to directories of your own "
        "(after sudo: sudo -H)",
    )


def _refused(path: Path, wrong: str, remedy: str) -> InfraError:
    return InfraError(
        f"the runtime directory {path} is not used: {wrong}",
        remedy=remedy or "set XDG_RUNTIME_DIR to an existing directory of your own with mode 0700",
    )
