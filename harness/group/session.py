"""A worker's connection to its group's database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psycopg

from harness.history.postgres import connection_arguments
from harness.history.servererrors import server_error

if TYPE_CHECKING:
    from harness.history.url import DatabaseUrl

#: Seconds for a statement. Times are by the server's clock; sessions are in UTC.
_STATEMENT: Final = 30


@dataclass(slots=True)
class WorkerSession:
    """A connection that is made when it is needed, and anew when it was lost. For one thread.

    Args:
        url: the database, with the worker's role.
    """

    url: DatabaseUrl
    _connection: psycopg.Connection | None = field(default=None, repr=False)

    @contextlib.contextmanager
    def cursor(self, doing: str) -> Iterator[psycopg.Cursor]:
        """Yield a cursor in a transaction; a connection that fails is closed.

        Args:
            doing: what is being done, before "the history", for errors.

        Raises:
            UsageError: the server refuses the role or its password.
            InfraError: the server fails.
        """
        try:
            if self._connection is None or self._connection.closed:
                arguments = connection_arguments(self.url)
                options = f"{arguments['options']} -c statement_timeout={_STATEMENT}s"
                self._connection = psycopg.connect(
                    **{**arguments, "options": options}, prepare_threshold=None
                )
            with self._connection.transaction(), self._connection.cursor() as cursor:
                yield cursor
        except psycopg.Error as error:
            self.close()
            text = error.diag.message_primary or str(error)
            raise server_error(doing, self.url, text, error.sqlstate) from error

    def close(self) -> None:
        """Close it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
