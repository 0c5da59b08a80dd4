"""What the databases of a history have in common."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from harness.errors import HarnessError

#: Option of a connection that only reads.
READING: Final = "harness_reading"


class Storage(Protocol):
    """A database that holds a history."""

    @property
    def place(self) -> str:
        """The file or URL, for messages; it contains no secret."""
        ...

    @property
    def driver_errors(self) -> tuple[type[Exception], ...]:
        """The errors that the database's driver raises past SQLAlchemy."""
        ...

    @property
    def reading(self) -> Mapping[str, Any]:
        """Options of a connection that only reads, and sees one state of the history."""
        ...

    def engine(self) -> Engine:
        """Return an engine whose writing transactions exclude each other."""
        ...

    def check(self, connection: Connection) -> None:
        """Check that the database can hold a history.

        Raises:
            UsageError: it cannot.
        """
        ...

    def prepare_migration(self, connection: Connection, schema: str | None) -> None:
        """Do what must precede a migration, in its transaction.

        Args:
            connection: to the database.
            schema: revision of the present schema; None: the database is empty.
        """
        ...

    def copy(self, directory: Path) -> Storage:
        """Return the storage of a copy in a directory.

        Raises:
            UsageError: the database is on a server.
        """
        ...

    def error(self, doing: str, cause: Exception) -> HarnessError:
        """Return the error to raise for an error of the driver.

        Args:
            doing: what was done: ``read``.
            cause: the driver's or the operating system's error.
        """
        ...

    def shrink(self, engine: Engine) -> None:
        """Give the space of what was removed back to the file system."""
        ...

    def lock(self, engine: Engine, name: str, doing: str) -> AbstractContextManager[None]:
        """Return a lock that excludes other hosts.

        Args:
            engine: the engine.
            name: name of the lock.
            doing: what is done under it, for the error: ``runs a night of the plan made``.

        Raises:
            InfraError: on entry, if another process holds it.
        """
        ...

    def is_locked(self, engine: Engine, name: str) -> bool:
        """Return whether a process on any host holds a lock of ``lock``."""
        ...
