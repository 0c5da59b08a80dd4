"""Locks on entries of the cache, so that an entry in use is not removed.

The lock is on the entry itself, as flock(2) accepts any open file. There are no lock files, and a
process that is killed releases its lock.
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
    """Hold a shared lock on an entry of the cache, and update its time of last use.

    Raises:
        InfraError: the entry does not exist.
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
    """Return whether ``path`` is not in use; if so, hold an exclusive lock on it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        yield lock_at_once(fd) and _is_at(fd, path)
    finally:
        os.close(fd)


def lock_at_once(fd: int) -> bool:
    """Lock an open file exclusively, unless another has a lock on it; return whether it is so."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    """Return whether ``path`` still is the open file; it may have been removed in between."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _gone(path: Path) -> InfraError:
    return InfraError(
        f"{path} was removed from the cache while it was used",
        remedy="run the command again; the entry is then built again",
    )
