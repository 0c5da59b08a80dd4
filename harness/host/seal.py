"""Files that are known by their size and SHA-256."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

_CHUNK: Final = 1 << 20

#: Device, inode, size, and times of modification and of change, in nanoseconds.
_Status = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Seal:
    """A file as it was when it was stored.

    Args:
        name: within its directory.
        size: bytes.
        sha256: of its content, in hexadecimal.
    """

    name: str
    size: int
    sha256: str


def seal_file(path: Path, name: str) -> Seal:
    """The seal of a file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return _sealed(file, name, None)


def copy_file(source: Path, target: Path, name: str) -> Seal:
    """Copy a file to disk, synced; the seal is of what was copied.

    Raises:
        OSError: it cannot be read or written.
    """
    with source.open("rb") as file, target.open("wb") as copy:
        seal = _sealed(file, name, copy)
        copy.flush()
        os.fsync(copy.fileno())
    return seal


class Verified:
    """What this process has verified already, by path; for use by several threads.

    A file whose inode, size and times are what they were is not read again.
    """

    def __init__(self) -> None:
        self._known: dict[Path, tuple[_Status, Seal]] = {}
        self._lock = threading.Lock()

    def seal(self, path: Path, name: str) -> Seal:
        """The seal of a file, which counts as verified.

        Raises:
            OSError: it cannot be read.
        """
        status = _status_of(path.lstat())
        seal = seal_file(path, name)
        self._learn(path, status, seal)
        return seal

    def damage(self, path: Path, seal: Seal) -> str:
        """How a file differs from its seal; empty if it does not."""
        try:
            if self._knows(path, seal):
                return ""
            status = _status_of(path.lstat())
            found = damage(path, seal)
            if not found:
                self._learn(path, status, seal)
        except OSError as error:
            return _unreadable(error)
        return found

    def copy(self, source: Path, target: Path, seal: Seal) -> str:
        """Copy a file; says how what was copied differs from its seal, and nothing if it does not.

        Raises:
            OSError: it cannot be written.
        """
        if wrong := self.damage(source, seal):
            return wrong
        with target.open("wb") as copy, source.open("rb") as file:
            shutil.copyfileobj(file, copy, _CHUNK)
        return "" if self._knows(source, seal) else damage(target, seal)

    def _knows(self, path: Path, seal: Seal) -> bool:
        """Whether a file has not changed since it was verified."""
        with self._lock:
            known = self._known.get(path)
        return known == (_status_of(path.lstat()), seal)

    def _learn(self, path: Path, status: _Status, seal: Seal) -> None:
        """Unless it changed meanwhile."""
        if status == _status_of(path.lstat()):
            with self._lock:
                self._known[path] = (status, seal)


def damage(path: Path, seal: Seal) -> str:
    """How a file, read whole, differs from its seal; empty if it does not."""
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


def _size_difference(found: int, wanted: int) -> str:
    if found == wanted:
        return ""
    return "it is empty" if found == 0 else f"it has {found} bytes instead of {wanted}"


def _unreadable(error: OSError) -> str:
    return "it is missing" if isinstance(error, FileNotFoundError) else str(error.strerror or error)


def _status_of(status: os.stat_result) -> _Status:
    return (
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns,
    )  # fmt: skip
