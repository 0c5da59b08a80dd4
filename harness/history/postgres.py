"""A history in a PostgreSQL database, which several hosts share.

Its tables are in a schema of their own. Writers exclude each other by an advisory lock, as in an
SQLite file, so that both databases give the same results. A writer that is stopped in a transaction
loses its connection after half a minute, and the others go on.
"""

from __future__ import annotations

import stat
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event

from harness.errors import HarnessError, InfraError, UsageError
from harness.history.servererrors import may_pass, server_error
from harness.history.serverlock import KEEPALIVE, ServerLock, is_held
from harness.history.storage import READING

if TYPE_CHECKING:
    from pathlib import Path

    from harness.history.storage import Storage
    from harness.history.url import DatabaseUrl

SCHEMA: Final = "harness"
"""The schema of the tables."""

WRITERS: Final = (0x6861_726E, 0)
"""Key of the advisory lock that a writing transaction holds."""

#: Seconds that a process under a lock waits for a server that restarts.
_PATIENCE: Final = 180.0

#: Settings of each session on the server.
_SETTINGS: Final = {
    "search_path": SCHEMA,
    "timezone": "UTC",
    "lock_timeout": "60s",
    "idle_in_transaction_session_timeout": "30s",
    "tcp_keepalives_idle": str(KEEPALIVE.idle),
    "tcp_keepalives_interval": str(KEEPALIVE.interval),
    "tcp_keepalives_count": str(KEEPALIVE.count),
    "tcp_user_timeout": f"{KEEPALIVE.seconds}s",
}

_ARGUMENTS: Final = {
    "application_name": "harness",
    "client_encoding": "utf8",
    "connect_timeout": 10,
    "keepalives_idle": KEEPALIVE.idle,
    "keepalives_interval": KEEPALIVE.interval,
    "keepalives_count": KEEPALIVE.count,
    "tcp_user_timeout": KEEPALIVE.seconds * 1000,
    "options": " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items()),
}


def connection_arguments(url: DatabaseUrl) -> dict[str, Any]:
    """Return the parameters of a connection: a lost one is noticed within a minute."""
    return {**_ARGUMENTS, **url.arguments()}


@dataclass(slots=True)
class ServerConnections:
    """Makes connections to a database, and knows which locks this process holds there.

    Args:
        url: the database.
        monotonic: returns seconds since an arbitrary start.
        sleep: waits for seconds.
    """

    url: DatabaseUrl
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _locks: list[ServerLock] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def connect(self) -> psycopg.Connection:
        """Return a new connection; under a lock, a server that restarts is waited for.

        Raises:
            psycopg.Error: the server refuses it, or does not answer.
        """
        arguments = connection_arguments(self.url)
        deadline = self.monotonic() + _PATIENCE
        while True:
            try:
                return psycopg.connect(**arguments, prepare_threshold=None)
            except psycopg.OperationalError as error:
                late = self.monotonic() >= deadline
                if not self._locks or late or not may_pass(str(error), error.sqlstate):
                    raise
                self.sleep(1.0)

    def begin_writing(self, connection: Connection) -> None:
        """Wait for other writers, and check that no other host has taken a lock of this process.

        Raises:
            InfraError: one has.
        """
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s, %s)", WRITERS)
        with self._guard:
            locks = list(self._locks)
        for lock in locks:
            lock.check(connection)

    @contextmanager
    def hold(self, lock: ServerLock) -> Iterator[None]:
        """Know a lock as held, and release it at the end."""
        with self._guard:
            self._locks.append(lock)
        try:
            yield
        finally:
            with self._guard:
                self._locks.remove(lock)
            lock.release()


@dataclass(slots=True, weakref_slot=True)
class PostgresDatabase:
    """A history in a database.

    Args:
        url: the database.
    """

    url: DatabaseUrl
    _connections: ServerConnections

    @classmethod
    def at(cls, url: DatabaseUrl) -> PostgresDatabase:
        """Return the storage of a URL.

        Raises:
            UsageError: a file that it names is missing, or others can read a secret one.
        """
        for name, path in url.files():
            try:
                mode = path.stat().st_mode
            except OSError as error:
                raise UsageError(
                    f"cannot read {name}={path} of the history {url.label}: {error.strerror}",
                    remedy="create the file, or correct the URL",
                ) from error
            if name in ("passfile", "sslkey") and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise UsageError(
                    f"other users can access the secret {name}={path} of the history {url.label}",
                    remedy=f"chmod 600 {path}",
                )
        return cls(url, ServerConnections(url))

    @property
    def place(self) -> str:
        """The URL."""
        return self.url.label

    @property
    def driver_errors(self) -> tuple[type[Exception], ...]:
        """The errors that the driver raises past SQLAlchemy."""
        return (psycopg.Error,)

    @property
    def reading(self) -> Mapping[str, Any]:
        """Options of a connection that only reads."""
        return {READING: True, "isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    def engine(self) -> Engine:
        """Return an engine whose connections are closed with this object."""
        connections = self._connections
        # A connection that the server has closed meanwhile is replaced before it is used.
        engine = create_engine(
            "postgresql+psycopg://", creator=connections.connect, pool_pre_ping=True, pool_size=4,
            max_overflow=-1,
        )  # fmt: skip

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            if not connection.get_execution_options().get(READING):
                connections.begin_writing(connection)

        weakref.finalize(self, engine.dispose)
        return engine

    def check(self, connection: Connection) -> None:
        """Check that the database stores all texts.

        Raises:
            UsageError: its encoding lacks characters.
        """
        encoding = connection.exec_driver_sql("SELECT getdatabaseencoding()").scalar()
        if encoding != "UTF8":
            raise UsageError(
                f"the encoding of {self.url.label} is {encoding}, which lacks characters that "
                "guests print",
                remedy=f"create another: createdb -E UTF8 -T template0 {self.url.database}2",
            )

    def prepare_migration(self, connection: Connection, schema: str | None) -> None:
        """Create the schema of an empty database."""
        wanted = "SELECT to_regnamespace(%s) IS NULL"
        # IF NOT EXISTS would need the right to create schemas.
        if schema is None and connection.exec_driver_sql(wanted, (SCHEMA,)).scalar():
            connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA}")

    def copy(self, directory: Path) -> Storage:
        """Refuse: a database is not copied.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"an older version of the harness wrote the history {self.url.label}",
            remedy="migrate it: harness nightly trend",
        )

    def error(self, doing: str, cause: Exception) -> HarnessError:
        """Return the error to raise for an error of psycopg."""
        if not isinstance(cause, psycopg.Error):
            return InfraError(f"cannot {doing} the history {self.url.label}: {cause}")
        text = cause.diag.message_primary or str(cause)
        return server_error(doing, self.url, text, cause.sqlstate)

    def shrink(self, engine: Engine) -> None:
        """Leave it to the server, whose autovacuum uses the space again."""

    @contextmanager
    def lock(self, engine: Engine, name: str, doing: str) -> Iterator[None]:
        """Hold a lock against all hosts; see ``ServerLock``."""
        lock = ServerLock.take(engine, self._connections.connect, name, doing)
        with self._connections.hold(lock):
            yield

    def is_locked(self, engine: Engine, name: str) -> bool:
        """Return whether a process on any host holds a lock."""
        with engine.connect().execution_options(**self.reading) as connection:
            return is_held(connection, name)


if TYPE_CHECKING:

    def _(database: PostgresDatabase) -> Storage:
        return database
