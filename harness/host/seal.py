"""Files verified by their size and SHA-256."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, NamedTuple

_CHUNK: Final = 1 << 20


class FileStatus(NamedTuple):
    """What of a file's status changes if it is written or replaced; times in nanoseconds."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


@dataclass(frozen=True, slots=True)
class Seal:
    """Size and hash of a file when it was stored.

    Args:
        name: name within its directory.
        size: size in bytes.
        sha256: SHA-256 of its content, in hexadecimal.
    """

    name: str
    size: int
    sha256: str


def seal_file(path: Path, name: str) -> Seal:
    """Return the seal of a file.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return _sealed(file, name, None)


def copy_file(source: Path, target: Path, name: str) -> Seal:
    """Copy a file, sync the copy, and return its seal.

    Raises:
        OSError: a file cannot be read or written.
    """
    with source.open("rb") as file, target.open("wb") as copy:
        seal = _sealed(file, name, copy)
        copy.flush()
        os.fsync(copy.fileno())
    return seal


class Verified:
    """Files that are verified; safe for several threads.

    A file is not read again if its inode, size and times are unchanged.
    """

    def __init__(self) -> None:
        self._known: dict[Path, tuple[FileStatus, Seal]] = {}
        self._lock = threading.Lock()

    def seal(self, path: Path, name: str) -> Seal:
        """Return the seal of a file, and record the file as verified.

        Raises:
            OSError: the file cannot be read.
        """
        status = status_of(path.lstat())
        seal = seal_file(path, name)
        self._record(path, status, seal)
        return seal

    def trust(self, path: Path, seal: Seal, status: FileStatus) -> None:
        """Take a file as verified by another process when it had this status."""
        with self._lock:
            self._known[path] = (status, seal)

    def damage(self, path: Path, seal: Seal) -> str:
        """Return how a file differs from its seal; empty if it does not."""
        try:
            if self._is_known(path, seal):
                return ""
            status = status_of(path.lstat())
            found = damage(path, seal)
            if not found:
                self._record(path, status, seal)
        except OSError as error:
            return _unreadable(error)
        return found

    def copy(self, source: Path, target: Path, seal: Seal) -> str:
        """Copy a file, and return how the copy differs from the seal; empty if it does not.

        Raises:
            OSError: the copy cannot be written.
        """
        if wrong := self.damage(source, seal):
            return wrong
        with target.open("wb") as copy, source.open("rb") as file:
            shutil.copyfileobj(file, copy, _CHUNK)
        return "" if self._is_known(source, seal) else damage(target, seal)

    def _is_known(self, path: Path, seal: Seal) -> bool:
        """Return whether a file is unchanged since it was verified."""
        with self._lock:
            known = self._known.get(path)
        return known == (status_of(path.lstat()), seal)

    def _record(self, path: Path, status: FileStatus, seal: Seal) -> None:
        """Record a file as verified, unless it has changed since ``status``."""
        if status == status_of(path.lstat()):
            self.trust(path, seal, status)


def damage(path: Path, seal: Seal) -> str:
    """Return how a file, which is always read, differs from its seal; empty if it does not."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            return "it is not a regular file"
        wrong = _size_difference(status.st_size, seal.size)
        return wrong or _difference(seal_file(path, seal.name), seal)
    except OSError as error:
        return _unreadable(error)


def _sealed(file: IO[bytes], name: str, copy: IO[bytes] | None) -> Seal:
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
        if copy is not None:
            copy.write(chunk)
    return Seal(name, size, digest.hexdigest())


def _difference(found: Seal, seal: Seal) -> str:
    wrong = _size_difference(found.size, seal.size)
    return wrong or ("" if found == seal else "its SHA-256 differs")


def _size_difference(found: int, expected: int) -> str:
    if found == expected:
        return ""
    return "it is empty" if found == 0 else f"it has {found} bytes instead of {expected}"


def _unreadable(error: OSError) -> str:
    return "it is missing" if isinstance(error, FileNotFoundError) else str(error.strerror or error)


def status_of(status: os.stat_result) -> FileStatus:
    """Return the part of a status that is compared."""
    return FileStatus(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns,
    )  # fmt: skip
