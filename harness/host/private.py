"""Directories that no other user can enter, so that none can exchange what is in them.

Follows what sshd(8) asks of the path to ``authorized_keys``: who can rename any directory above a
file can exchange the file.
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
    """Make ``path`` with mode 0700, or see that it is such a directory.

    One that others can enter or read, but not write to, has nothing of theirs in it: older versions
    made it so, and its mode is set to 0700. Missing parents are made. The path may not lead
    through a symbolic link at its end, nor through a directory that another user can write to.

    Raises:
        InfraError: it is none, belongs to another user, others can write to it, or it cannot be
            made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        status = path.lstat()
    except OSError as error:
        raise _refused(path, f"cannot make it: {error.strerror}", "") from error
    wrong, remedy = _objection(path, status)
    if wrong:
        raise _refused(path, wrong, remedy)
    above = _writable_by_others(path.parent)
    if above is not None:
        raise _refused(path, f"another user can exchange it, because of {above}", "")
    if status.st_mode & _OTHERS:
        _close_to_others(path)


def owned_directory(path: Path) -> None:
    """Make ``path`` with mode 0700 if it is missing and can be made; see who can write to it.

    For the cache and the state, which may be a symbolic link to another disk.

    Raises:
        InfraError: it belongs to another user, or others can write to it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        status = path.stat()
    except OSError:  # who writes there has the error; who only reads may not need it
        return
    if status.st_uid != os.geteuid():
        raise _foreign(path, status)
    if status.st_mode & _OTHERS_WRITE:
        raise InfraError(
            f"{path} is not used: other users can write to it ({_mode(status)})",
            remedy=f"look through it, then: chmod go-w {path}",
        )


def _objection(path: Path, status: os.stat_result) -> tuple[str, str]:
    """What is wrong with a private directory, and the remedy; empty for nothing."""
    if not stat.S_ISDIR(status.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "no directory"
        return f"it is {kind}", ""
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}, not to {os.geteuid()}", ""
    if status.st_mode & _OTHERS_WRITE:
        wrong = f"other users can write to it ({_mode(status)})"
        return wrong, f"look through it, then: chmod 700 {path}"
    return "", ""


def _close_to_others(path: Path) -> None:
    """Raises InfraError: the host does not let us."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchmod(fd, stat.S_IRWXU)
        finally:
            os.close(fd)
    except OSError as error:
        wrong = f"cannot close it to other users: {error.strerror}"
        raise _refused(path, wrong, f"chmod 700 {path}") from error


def _writable_by_others(directory: Path) -> str | None:
    """The directory at or above this one whose entries another user can rename; None for none.

    In a sticky directory, such as ``/tmp``, only the owner of an entry can.
    """
    resolved = directory.resolve()
    for one in (resolved, *resolved.parents):
        status = one.stat()
        if status.st_uid not in (0, os.geteuid()):
            return f"{one}, which belongs to user {status.st_uid}"
        if status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX:
            return f"{one}, which others can write to ({_mode(status)})"
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
