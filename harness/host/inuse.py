"""Says that something of the cache is in use, so that nobody removes it meanwhile.

The lock is on the folder itself (flock(2) takes any open file), so nothing is left behind
and a user that is killed is a user no more.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from harness.errors import InfraError


@contextlib.contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Keep ``path``, a file or folder of the cache, from being removed; many may do so at once.

    It counts as used now: what was not used for longest is removed first.

    Raises:
        InfraError: it is not there.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _gone(path) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        if not _is_at(fd, path):
            raise _gone(path)
        os.utime(fd)
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether nobody uses ``path``; if so, nobody can begin to within the context."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        yield _lock_at_once(fd) and _is_at(fd, path)
    finally:
        os.close(fd)


def _lock_at_once(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    """Whether ``path`` still is what we opened: it may have been removed while we waited."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _gone(path: Path) -> InfraError:
    return InfraError(
        f"{path} is no longer there: it was removed from the cache",
        remedy="run it again; it will be built anew",
    )
