"""A history in an SQLite file.

SQLite keeps its write-ahead log (WAL) beside the file, and syncs it with each commit: a process
that is killed anywhere loses what it did not commit, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from harness.errors import HarnessError, InfraError, UsageError
from harness.history.storage import READING
from harness.host.filesystems import filesystem_of, is_network
from harness.host.workspace import make_directory

if TYPE_CHECKING:
    from harness.history.storage import Storage

#: How long a writer waits for another, in milliseconds.
_PATIENCE: Final = 60_000

#: Bytes that the log and its index need at least.
_LEAST_FREE: Final = 64 << 10

FileSystemOf = Callable[[Path], str]


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """A history in a file.

    Args:
        path: the file.
        label: the file that it is a copy of, for messages.
    """

    path: Path
    label: str = ""

    @classmethod
    def at(cls, path: Path, filesystem: FileSystemOf = filesystem_of) -> SqliteFile:
        """Return the storage of a file, in a directory that exists.

        Args:
            path: the file.
            filesystem: returns the type of a path's file system.

        Raises:
            UsageError: it is on a network file system.
            InfraError: the directory cannot be made.
        """
        kind = filesystem(path.parent)
        if is_network(kind):
            raise UsageError(
                f"cannot keep a history in {path}: it is on a network file system ({kind}), where "
                "SQLite's write-ahead log loses data",
                remedy="name a file on a local disk: --history FILE",
            )
        make_directory(path.parent)
        return cls(path)

    @property
    def place(self) -> str:
        """The file."""
        return self.label or str(self.path)

    @property
    def driver_errors(self) -> tuple[type[Exception], ...]:
        """The errors that the driver raises past SQLAlchemy."""
        return (sqlite3.Error,)

    @property
    def reading(self) -> Mapping[str, Any]:
        """Options of a connection that only reads."""
        return {READING: True}

    def engine(self) -> Engine:
        """Return an engine whose transactions begin where SQLAlchemy says so."""
        engine = create_engine(f"sqlite:///{self.path}", poolclass=NullPool, creator=self._connect)

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            reading = connection.get_execution_options().get(READING)
            # A writer takes its lock at once: one that has read first could not wait for another.
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

        return engine

    def _connect(self) -> sqlite3.Connection:
        """Connect to the file; on a full disk, to read it.

        On a full disk, SQLite cannot create the index of its log. Without changes in the log, the
        file can be read without it.
        """
        # Python's own transactions do not include statements that create tables.
        connection = sqlite3.connect(self.path, _PATIENCE / 1000, isolation_level=None)
        try:
            for pragma in (
                "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON",
                f"busy_timeout = {_PATIENCE}",
            ):  # fmt: skip
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            if not self._is_full or self._has_log:
                raise
            place = f"file:{quote(str(self.path))}?immutable=1"
            return sqlite3.connect(place, uri=True, isolation_level=None)
        return connection

    @property
    def _is_full(self) -> bool:
        """Whether the disk has no room for the log and its index."""
        try:
            found = os.statvfs(self.path.parent)
        except OSError:
            return False
        return found.f_bavail * found.f_frsize < _LEAST_FREE

    @property
    def _has_log(self) -> bool:
        """Whether there are changes that are not in the file yet, or cannot be ruled out."""
        try:
            return os.stat(f"{self.path}-wal").st_size > 0
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def check(self, connection: Connection) -> None:
        """Accept every file: SQLite stores all texts and numbers."""

    def prepare_migration(self, connection: Connection, schema: str | None) -> None:
        """Copy all that is committed to ``NAME.SCHEMA.bak`` beside the file."""
        del connection
        if schema is None:
            return
        self._copy(self.path.with_name(f"{self.path.name}.{schema}.bak"))

    def copy(self, directory: Path) -> Storage:
        """Return the storage of a copy of all that is committed."""
        target = directory / self.path.name
        self._copy(target)
        return SqliteFile(target, self.place)

    def _copy(self, target: Path) -> None:
        temporary = target.with_name(f".{target.name}.tmp")
        temporary.unlink(missing_ok=True)
        with (
            contextlib.closing(sqlite3.connect(self.path)) as source,
            contextlib.closing(sqlite3.connect(temporary)) as copy,
        ):
            source.backup(copy)
        temporary.replace(target)

    def error(self, doing: str, cause: Exception) -> HarnessError:
        """Return the host's failure."""
        words = str(cause)
        if self._is_full and ("I/O" in words or "readonly" in words):
            words = "the disk is full"
        remedy = _remedy(words) if isinstance(cause, sqlite3.Error) else ""
        return InfraError(f"cannot {doing} the history {self.place}: {words}", remedy=remedy)

    def shrink(self, engine: Engine) -> None:
        """Write the file anew, without what was removed."""
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("VACUUM")
        finally:
            connection.close()

    def lock(self, engine: Engine, name: str, doing: str) -> AbstractContextManager[None]:
        """Return nothing to wait for: no other host has the file."""
        del engine, name, doing
        return contextlib.nullcontext()

    def is_locked(self, engine: Engine, name: str) -> bool:
        """Return False: no other host has the file."""
        del engine, name
        return False


if TYPE_CHECKING:

    def _(file: SqliteFile) -> Storage:
        return file


def _remedy(cause: str) -> str:
    if "full" in cause:
        return "free disk space, for example: harness gc --limit 10G"
    if "locked" in cause:
        return "end the process that writes the history, or wait for it"
    if "not a database" in cause or "malformed" in cause:
        return "restore the file from a copy, or name another: --history FILE"
    return "check that the file and its directory can be written"
