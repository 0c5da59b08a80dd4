"""The directory of a leased cell on its host: its order, and its result until it is reported.

A cell's process holds a lock on it for as long as it lives, so that it is found again when its
worker was killed, and is never started twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from harness.errors import InfraError
from harness.host.inuse import lock_at_once
from harness.host.jsontoml import read_object
from harness.host.workspace import make_directory, write_atomic

_ORDER: Final = "order.json"
_RESULT: Final = "result.json"
_CONSOLE: Final = "console.log"
_LOCK: Final = "lock"
_STARTED: Final = "started"
_LOG: Final = "log"

#: Characters of the process's output that explain its death.
_LAST: Final = 500


def done(document: Mapping[str, Any], *, host_failed: bool) -> dict[str, Any]:
    """Return the report of a job that was carried out.

    Args:
        document: what came out, as a JSON document.
        host_failed: whether the host failed, so that another one should try.
    """
    return {"kind": "done", "host_failed": host_failed, "document": dict(document)}


class Lack(StrEnum):
    """What a host lacked for a job, so that it is no failure of the host."""

    SOURCE = "source"
    """The tree or the revision that a kernel is built from."""
    KERNEL = "kernel"
    """The kernel that a cell boots."""
    PARTS = "parts"
    """Parts of a file, which were not sent, or are gone."""
    RIGHT_FILE = "right file"
    """What was sent is not what was announced."""


def failed(why: str, lacks: Lack | None = None) -> dict[str, Any]:
    """Return the report of a job that the host could not carry out.

    Args:
        why: the cause, in words.
        lacks: what the host lacked; None: something else failed.
    """
    return {"kind": "failed", "why": why, **({"lacks": lacks.value} if lacks else {})}


@dataclass(frozen=True, slots=True)
class CellDirectory:
    """The directory of one lease.

    Args:
        path: its path; its name is the number of the lease.
    """

    path: Path

    @classmethod
    def all_in(cls, directory: Path) -> list[CellDirectory]:
        """Return all below a directory, the oldest lease first."""
        found = [each for each in directory.glob("*") if each.name.isdigit()]
        return [cls(each) for each in sorted(found, key=lambda each: int(each.name))]

    @property
    def lease(self) -> int:
        """The number of the lease."""
        return int(self.path.name)

    def write_order(self, order: Mapping[str, Any]) -> None:
        """Create it with its order.

        Raises:
            InfraError: it cannot be written.
        """
        make_directory(self.path)
        write_atomic(self.path / _ORDER, json.dumps(order))

    def order(self) -> dict[str, Any] | None:
        """Return its order; None if it was never completely written."""
        return self._read(_ORDER)

    def write_result(self, result: Mapping[str, Any], console: bytes = b"") -> None:
        """Write the report of its job, after the console.

        Raises:
            InfraError: it cannot be written.
        """
        write_atomic(self.path / _CONSOLE, console)
        write_atomic(self.path / _RESULT, json.dumps(result))

    def result(self) -> tuple[dict[str, Any], bytes] | None:
        """Return the report of its job, and the console; None if there is none yet."""
        found = self._read(_RESULT)
        if found is None:
            return None
        try:
            return found, (self.path / _CONSOLE).read_bytes()
        except OSError:
            return found, b""

    @property
    def was_started(self) -> bool:
        """Whether a process was started in it."""
        return (self.path / _STARTED).exists()

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        with self._locked() as lock:
            return lock is None

    @contextlib.contextmanager
    def starting(self) -> Iterator[tuple[int, int] | None]:
        """Yield descriptors of its lock and log for a process to start; None: one runs.

        The process inherits the lock, which is released when it ends.

        Raises:
            InfraError: it cannot be written.
        """
        with self._locked() as lock:
            if lock is None:
                yield None
                return
            write_atomic(self.path / _STARTED, "")
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            log = os.open(self.path / _LOG, flags, 0o600)
            try:
                yield lock, log
            finally:
                os.close(log)

    def last_words(self) -> str:
        """Return the last lines that its process wrote."""
        try:
            text = (self.path / _LOG).read_bytes()[-_LAST:].decode("utf-8", "replace")
        except OSError:
            return ""
        return " ".join(text.split())

    def remove(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int | None]:
        """Yield a descriptor that holds its lock; None if a process holds it."""
        try:
            lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise InfraError(f"cannot lock {self.path}: {error.strerror}") from error
        try:
            yield lock if lock_at_once(lock) else None
        finally:
            os.close(lock)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return read_object(self.path / name)
        except (OSError, ValueError):
            return None
