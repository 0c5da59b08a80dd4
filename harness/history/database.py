"""The database of a history: opened, migrated, and read and written in transactions."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, exc

from harness.errors import InfraError, UsageError
from harness.history.migrate import known_schemas, migrate, newest_schema, schema_of
from harness.history.sqlitefile import FileSystemOf, SqliteFile
from harness.host.filesystems import filesystem_of

if TYPE_CHECKING:
    from harness.history.storage import Storage
    from harness.history.url import HistoryLocation


@dataclass(frozen=True, slots=True)
class Database:
    """An open history.

    Args:
        engine: connects to it.
        storage: the kind of database.
    """

    engine: Engine
    storage: Storage

    @classmethod
    def open(
        cls, location: HistoryLocation, filesystem: FileSystemOf = filesystem_of
    ) -> Database:  # fmt: skip
        """Open a history, created or migrated if necessary.

        Before a migration, a file is copied to ``NAME.SCHEMA.bak`` beside it. On a server, the
        migration is one transaction.

        Args:
            location: the file, or the URL of the database.
            filesystem: returns the type of a path's file system.

        Raises:
            UsageError: it is on a network file system, it is no history, or a newer version of the
                harness wrote it; the server refuses the role or its password.
            InfraError: it cannot be read or written.
        """
        database = cls.unprepared(location, filesystem)
        database._prepare()
        return database

    @classmethod
    def unprepared(
        cls, location: HistoryLocation, filesystem: FileSystemOf = filesystem_of
    ) -> Database:  # fmt: skip
        """Return a history whose tables are not looked at yet; see ``Database.migrate``.

        Raises:
            UsageError: a file is on a network file system, or one that the URL names is missing.
            InfraError: a directory cannot be made, or a package is not installed.
        """
        storage = storage_of(location, filesystem)
        return cls(storage.engine(), storage)

    @classmethod
    def unchanged(cls, location: HistoryLocation, scratch: Path) -> Database:
        """Open a history to read it, and leave it as it is.

        A file of an older version of the harness is read from a migrated copy.

        Args:
            location: the file, or the URL of the database.
            scratch: an empty directory for the copy.

        Raises:
            UsageError: a newer version of the harness wrote it, or an older one on a server.
            InfraError: it cannot be read or copied.
        """
        database = cls.unprepared(location)
        if database._known_schema() == newest_schema():
            return database
        with database._errors("copy"):
            storage = database.storage.copy(scratch)
        database.close()
        copy = cls(storage.engine(), storage)
        copy._prepare()
        return copy

    @property
    def place(self) -> str:
        """The file or URL, for messages."""
        return self.storage.place

    @property
    def is_shared(self) -> bool:
        """Whether several hosts can use it: it is on a server."""
        return self.engine.dialect.name == "postgresql"

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection that sees one state of the history, whatever others write.

        Raises:
            InfraError: it cannot be read.
        """
        with (
            self._errors("read"),
            self.engine.connect().execution_options(**self.storage.reading) as connection,
        ):
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection whose changes are all committed at the end, or none is.

        Raises:
            InfraError: it cannot be written: the disk is full, another process does not let go, the
                server is gone, or another host has taken a lock of this process.
        """
        with self._errors("write"), self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def lock(self, name: str, doing: str) -> Iterator[None]:
        """Hold a lock against other hosts that share the history; against none for a file.

        If this process is cut off from the database, the lock falls within a minute; nothing that
        it writes afterwards is taken if another process has held the lock meanwhile.

        Args:
            name: name of the lock.
            doing: what is done under it, for the error: ``runs a night of the plan made``.

        Raises:
            InfraError: another process holds it.
        """
        with contextlib.ExitStack() as stack:
            with self._errors("lock"):
                stack.enter_context(self.storage.lock(self.engine, name, doing))
            yield

    def is_locked(self, name: str) -> bool:
        """Return whether a process on any host holds a lock of the history's database.

        Raises:
            InfraError: the history cannot be read.
        """
        with self._errors("read"):
            return self.storage.is_locked(self.engine, name)

    def shrink(self) -> None:
        """Give the space of what was removed back to the file system.

        Raises:
            InfraError: the history cannot be written.
        """
        with self._errors("write"):
            self.storage.shrink(self.engine)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def migrate(self, connection: Connection) -> None:
        """Create or migrate the tables, in a transaction.

        Raises:
            UsageError: a newer version of the harness wrote them.
            InfraError: they cannot be copied before.
        """
        found = self._checked_schema(connection)
        if found == newest_schema():
            return
        with self._errors("migrate"):
            self.storage.prepare_migration(connection, found)
        migrate(connection)

    def _prepare(self) -> None:
        """Create or migrate the tables; several processes may do so at once."""
        if self._known_schema() != newest_schema():
            with self.writing() as connection:
                self.migrate(connection)

    def _known_schema(self) -> str | None:
        """Return the schema of its tables; None if there are none yet."""
        with self.reading() as connection:
            return self._checked_schema(connection)

    def _checked_schema(self, connection: Connection) -> str | None:
        self.storage.check(connection)
        found = schema_of(connection)
        if found is not None and found not in known_schemas():
            raise UsageError(
                f"the history {self.place} has schema {found}, which this version of the harness "
                f"does not know; its own is {newest_schema()}",
                remedy="use the newer version of the harness that wrote it",
            )
        return found

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Convert errors of the database and of the host to the harness's."""
        own: tuple[type[Exception], ...] = (*self.storage.driver_errors, OSError)
        try:
            yield
        except exc.DBAPIError as error:
            cause = error.orig if isinstance(error.orig, Exception) else error
            raise self.storage.error(doing, cause) from error
        except own as error:
            raise self.storage.error(doing, error) from error


def storage_of(location: HistoryLocation, filesystem: FileSystemOf = filesystem_of) -> Storage:
    """Return the storage of a history.

    Args:
        location: the file, or the URL of the database.
        filesystem: returns the type of a path's file system.

    Raises:
        UsageError: the file is on a network file system, or a file that the URL names is missing.
        InfraError: a directory cannot be made, or the package of the extra is not installed.
    """
    if isinstance(location, Path):
        return SqliteFile.at(location, filesystem)
    if importlib.util.find_spec("psycopg") is None:
        raise InfraError(
            f"{location.label} needs the Python package psycopg, which is not installed",
            remedy="install it: pip install 'harness[nightly,group]'",
        )
    from harness.history.postgres import PostgresDatabase

    return PostgresDatabase.at(location)
