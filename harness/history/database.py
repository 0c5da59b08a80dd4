"""The database of a history: opened, migrated, and written in transactions.

SQLite keeps its write-ahead log (WAL) beside the file, and syncs it with each commit: a process
that is killed anywhere loses what it did not commit, and nothing else.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.pool import NullPool

from harness.errors import InfraError, UsageError
from harness.history.migrate import known_schemas, migrate, newest_schema, schema_of
from harness.host.filesystems import filesystem_of, is_network
from harness.host.workspace import make_directory

#: How long a writer waits for another, in milliseconds.
_PATIENCE: Final = 60_000

_READING: Final = "harness_reading"

FileSystemOf = Callable[[Path], str]


@dataclass(frozen=True, slots=True)
class Database:
    """An open history.

    Args:
        engine: connects to it.
        place: the file or URL, for errors.
    """

    engine: Engine
    place: str

    @classmethod
    def open(cls, path: Path, filesystem: FileSystemOf = filesystem_of) -> Database:
        """Open a history in a file, created or migrated if necessary.

        Before a migration, the file is copied to ``NAME.SCHEMA.bak`` beside it.

        Args:
            path: the file.
            filesystem: returns the type of a path's file system.

        Raises:
            UsageError: it is on a network file system, it is no history, or a newer version of the
                harness wrote it.
            InfraError: it cannot be read or written.
        """
        kind = filesystem(path.parent)
        if is_network(kind):
            raise UsageError(
                f"cannot keep a history in {path}: it is on a network file system ({kind}), where "
                "SQLite's write-ahead log loses data",
                remedy="name a file on a local disk: --history FILE",
            )
        make_directory(path.parent)
        database = cls(_engine(path), str(path))
        database._prepare(path)
        return database

    @classmethod
    def unchanged(cls, path: Path, scratch: Path) -> Database:
        """Open a history to read it, and leave its file as it is.

        A history of an older version of the harness is read from a migrated copy.

        Args:
            path: the file.
            scratch: an empty directory for the copy.

        Raises:
            UsageError: a newer version of the harness wrote it.
            InfraError: it cannot be read or copied.
        """
        database = cls(_engine(path), str(path))
        if database._known_schema() == newest_schema():
            return database
        copy = scratch / path.name
        database._copy(path, copy)
        database.close()
        return replace(cls.open(copy), place=str(path))

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection that sees one state of the history, whatever others write.

        Raises:
            InfraError: it cannot be read.
        """
        with (
            self._errors("read"),
            self.engine.connect().execution_options(**{_READING: True}) as connection,
        ):
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection whose changes are all committed at the end, or none is.

        Raises:
            InfraError: it cannot be written: the disk is full, or another process does not let go.
        """
        with self._errors("write"), self.engine.begin() as connection:
            yield connection

    def shrink(self) -> None:
        """Give the space of what was removed back to the file system.

        Raises:
            InfraError: the history cannot be written.
        """
        with self._errors("write"):
            connection = self.engine.raw_connection()
            try:
                connection.cursor().execute("VACUUM")
            finally:
                connection.close()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _prepare(self, path: Path) -> None:
        """Create or migrate the tables; several processes may do so at once."""
        newest = newest_schema()
        if self._known_schema() == newest:
            return
        with self.writing() as connection:
            found = schema_of(connection)
            if found == newest:  # another process was faster
                return
            if found is not None:
                self._copy(path, path.with_name(f"{path.name}.{found}.bak"))
            migrate(connection)

    def _known_schema(self) -> str | None:
        """Return the schema of its tables; None if there are none yet."""
        with self.reading() as connection:
            found = schema_of(connection)
        if found is not None and found not in known_schemas():
            raise UsageError(
                f"the history {self.place} has schema {found}, which this version of the harness "
                f"does not know; its own is {newest_schema()}",
                remedy="use the newer version of the harness that wrote it",
            )
        return found

    def _copy(self, path: Path, target: Path) -> None:
        """Copy all that is committed."""
        temporary = target.with_name(f".{target.name}.tmp")
        temporary.unlink(missing_ok=True)
        with (
            self._errors("copy"),
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(temporary)) as copy,
        ):
            source.backup(copy)
        temporary.replace(target)

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Convert errors of the database to ``InfraError``."""
        try:
            yield
        except (exc.DBAPIError, sqlite3.Error) as error:
            cause = str(error.orig if isinstance(error, exc.DBAPIError) else error)
            raise InfraError(
                f"cannot {doing} the history {self.place}: {cause}", remedy=_remedy(cause)
            ) from error
        except OSError as error:
            raise InfraError(f"cannot {doing} the history {self.place}: {error}") from error


def _remedy(cause: str) -> str:
    if "full" in cause:
        return "free disk space, for example: harness gc --limit 10G"
    if "locked" in cause:
        return "end the process that writes the history, or wait for it"
    if "not a database" in cause or "malformed" in cause:
        return "restore the file from a copy, or name another: --history FILE"
    return "check that the file and its directory can be written"


def _engine(path: Path) -> Engine:
    """Return an engine whose transactions begin where SQLAlchemy says so."""
    engine = create_engine(
        f"sqlite:///{path}", poolclass=NullPool, connect_args={"timeout": _PATIENCE / 1000}
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _: Any) -> None:
        # Python's own transactions do not include statements that create tables.
        connection.isolation_level = None
        for pragma in (
            "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON",
            f"busy_timeout = {_PATIENCE}",
        ):  # fmt: skip
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get(_READING)
        # A writer takes its lock at once: one that has read first could not wait for another.
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
