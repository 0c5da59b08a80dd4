"""A lock on a PostgreSQL server, held by a session and proven by a token.

The session holds an advisory lock, which falls when the session ends: at once if the process ends,
and after ``KEEPALIVE.seconds`` if its host vanishes, because the server then gives the connection
up. A thread takes the lock again after the connection was lost, so a restart of the server does not
end a night.

Each holder writes a token of its own into the table ``locks``. A writing transaction of a holder
checks it: a process that was cut off, whose lock another has held meanwhile, writes nothing more.
"""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import psycopg
from sqlalchemy import delete, insert, select, text

from harness.errors import InfraError
from harness.history.schema import LockRow

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

#: First half of the keys of these locks.
_CLASS: Final = 0x6861_726F

#: Seconds between two looks at the connection of a lock.
_INTERVAL: Final = 5.0


@dataclass(frozen=True, slots=True)
class Keepalive:
    """When TCP gives up a connection whose other end is silent (tcp(7)).

    Args:
        idle: seconds of silence before the first probe.
        interval: seconds between probes.
        count: probes without an answer.
    """

    idle: int
    interval: int
    count: int

    @property
    def seconds(self) -> int:
        """Seconds after which the connection is given up."""
        return self.idle + self.interval * self.count


KEEPALIVE: Final = Keepalive(idle=15, interval=5, count=5)


@dataclass(slots=True)
class ServerLock:
    """A lock that this process holds.

    Args:
        connect: makes a connection of its own.
        name: name of the lock.
        session: holds the lock.
        token: proves who holds it.
    """

    connect: Callable[[], psycopg.Connection]
    name: str
    session: psycopg.Connection
    token: str
    _held: bool = True
    _ended: threading.Event = field(default_factory=threading.Event)
    _keeper: threading.Thread | None = None

    @classmethod
    def take(
        cls, engine: Engine, connect: Callable[[], psycopg.Connection], name: str, doing: str
    ) -> ServerLock:
        """Return a lock.

        Args:
            engine: the history's.
            connect: makes a connection.
            name: name of the lock.
            doing: what is done under it: ``runs a night of the plan made``.

        Raises:
            InfraError: another process holds it.
            sqlalchemy.exc.DBAPIError, psycopg.Error: the server fails.
        """
        session = connect()
        try:
            session.autocommit = True
            if not _try(session, name):
                wanted = select(LockRow.token).where(LockRow.name == name)
                with engine.connect() as connection:
                    holder = _words(connection.execute(wanted).scalar())
                raise InfraError(f"{holder} {doing}", remedy="wait for it, or end it there")
            token = f"{platform.node()}:{os.getpid()}:{secrets.token_hex(16)}"
            with engine.begin() as connection:
                connection.execute(delete(LockRow).where(LockRow.name == name))
                row = {"name": name, "token": token, "taken": datetime.now(UTC)}
                connection.execute(insert(LockRow).values(**row))
        except BaseException:
            session.close()
            raise
        lock = cls(connect, name, session, token)
        lock._keeper = threading.Thread(target=lock._keep, name=f"lock {name}", daemon=True)
        lock._keeper.start()
        return lock

    def check(self, connection: Connection) -> None:
        """Check, in a writing transaction, that no other process has held the lock meanwhile.

        Raises:
            InfraError: one has.
        """
        found = connection.execute(select(LockRow.token).where(LockRow.name == self.name)).scalar()
        if found != self.token:
            raise InfraError(
                f"{_words(found)} has taken over what this process did, because it was cut off "
                "from the server",
                remedy="see what became of it: harness nightly status",
            )

    def release(self) -> None:
        """Give the lock back."""
        self._ended.set()
        if self._keeper is not None:
            self._keeper.join()
        self.session.close()

    def _keep(self) -> None:
        """Take the lock again when its connection is lost, until it is released."""
        while not self._ended.wait(_INTERVAL):
            try:
                if self.session.closed:
                    self._held = False
                    self.session = self.connect()
                    self.session.autocommit = True
                if self._held:
                    self.session.execute("SELECT 1")
                else:  # the server may not have given up the lost session yet
                    self._held = _try(self.session, self.name)
            except psycopg.Error:
                self.session.close()


def is_held(connection: Connection, name: str) -> bool:
    """Return whether a process holds a lock."""
    wanted = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 "
        "AND classid = :first AND objid = :second AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    first, second = _key(name)
    keys = {"first": first, "second": second % (1 << 32)}
    return bool(connection.execute(wanted, keys).scalar())


def _key(name: str) -> tuple[int, int]:
    """Return a lock's key, of two signed numbers of 32 bits."""
    digest = hashlib.sha256(name.encode()).digest()
    return _CLASS, int.from_bytes(digest[:4], "big", signed=True)


def _try(session: psycopg.Connection, name: str) -> bool:
    row = session.execute("SELECT pg_try_advisory_lock(%s, %s)", _key(name)).fetchone()
    return row is not None and row[0]


def _words(token: str | None) -> str:
    if token is None:
        return "another process"
    host, process, _ = token.rsplit(":", 2)
    return f"process {process} on {host}"
