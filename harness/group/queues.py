"""A queue for each host, by procrastinate, in the history's database.

An order is delivered at least once: who takes it must bear it twice. It is in the queue as long as
its host has not taken it; what becomes of it then stands in its lease (``harness.group.leases``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import procrastinate
import psycopg
from procrastinate.exceptions import ProcrastinateException
from procrastinate.schema import SchemaManager

from harness.errors import InfraError
from harness.history.postgres import connection_arguments

if TYPE_CHECKING:
    from psycopg import Connection as Session
    from sqlalchemy import Connection

    from harness.history.url import DatabaseUrl

_TASK: Final = "order"

#: Seconds between attempts to reach a server that is away.
_RETRY: Final = 1.0

#: Seconds between looks for orders whose notification was lost.
_POLL: Final = 5.0

#: Seconds in which a connection must be had.
_PATIENCE: Final = 20.0

#: Seconds after which procrastinate forgets a worker that does not report. Jobs of one are found by
#: their queue, not by their worker.
_FORGOTTEN: Final = 86400.0

#: Seconds that what is being taken has at the end.
_GRACE: Final = 20.0


def install_queues(connection: Connection) -> None:
    """Create procrastinate's tables unless they exist, in the schema of the connection."""
    if connection.exec_driver_sql("SELECT to_regclass('procrastinate_jobs')").scalar() is None:
        # Several statements, with percent signs: not for SQLAlchemy's parameters.
        _session(connection).execute(SchemaManager.get_schema().encode())


def has_queues(connection: Connection) -> bool:
    """Return whether the history's database has queues."""
    return (
        connection.exec_driver_sql("SELECT to_regclass('procrastinate_jobs')").scalar() is not None
    )


def enqueue(connection: Connection, host: str, lease: int, order: Mapping[str, Any]) -> None:
    """Put an order into the queue of a host, in the transaction of the connection.

    Args:
        connection: of the owner.
        host: name of the host.
        lease: number of the lease.
        order: what is to be done; a small JSON document.
    """
    app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())
    deferrer = app.configure_task(_TASK, queue=host, connection=_session(connection))
    deferrer.defer(lease=lease, order=dict(order))


def clear_queues(connection: Connection) -> None:
    """Remove what was delivered, and what nobody is to take any more."""
    connection.exec_driver_sql(
        "DELETE FROM procrastinate_jobs WHERE status NOT IN ('todo', 'doing') OR NOT EXISTS "
        "(SELECT FROM leases WHERE id = CAST(args->>'lease' AS bigint) "
        "AND leases.state IN ('queued', 'running'))"
    )


def _session(connection: Connection) -> Session:
    session: Session = connection.connection.driver_connection  # type: ignore[assignment]
    return session


@dataclass(slots=True)
class Receiver:
    """Takes the orders of one host's queue, in a thread of its own, whatever the server does.

    Args:
        url: the database.
        host: name of the host.
        take: takes an order, given its lease; it must bear being called twice with one. If it
            raises an ``InfraError``, it is called again.
    """

    url: DatabaseUrl
    host: str
    take: Callable[[int, Mapping[str, Any]], None]
    _ended: threading.Event = field(default_factory=threading.Event)
    _loop: asyncio.AbstractEventLoop | None = None
    _task: asyncio.Task[None] | None = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to take orders."""
        for name in ("procrastinate", "psycopg.pool"):  # a server that is away is reported once
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._thread = threading.Thread(target=self._run, name=f"queue {self.host}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more orders; wait for what is being taken."""
        self._ended.set()
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            if self._loop is not None and self._task is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)
        if self._thread is not None:
            self._thread.join(2 * _GRACE)

    def _run(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(ProcrastinateException, psycopg.Error, OSError):
                asyncio.run(self._receive())
            self._ended.wait(_RETRY)

    async def _receive(self) -> None:
        """Take orders until the server is lost, or the end."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        arguments = connection_arguments(self.url)
        connector = procrastinate.PsycopgConnector(
            kwargs=arguments, min_size=1, max_size=3, timeout=_PATIENCE, reconnect_timeout=_PATIENCE
        )
        app = procrastinate.App(connector=connector)

        @app.task(name=_TASK)
        async def order(lease: int, order: dict[str, Any]) -> None:
            while True:
                with contextlib.suppress(InfraError):
                    await asyncio.to_thread(self.take, lease, order)
                    return
                await asyncio.sleep(_RETRY)

        with contextlib.suppress(asyncio.CancelledError):
            async with app.open_async():
                await self._return_orders(connector)
                await app.run_worker_async(
                    queues=[self.host], name=self.host, concurrency=2,
                    install_signal_handlers=False, fetch_job_polling_interval=_POLL,
                    stalled_worker_timeout=_FORGOTTEN, shutdown_graceful_timeout=_GRACE,
                )  # fmt: skip

    async def _return_orders(self, connector: procrastinate.PsycopgConnector) -> None:
        """Return to the queue what an earlier connection took, and may not have finished.

        A host has one worker, so nobody else can be taking it.
        """
        await connector.execute_query_async(
            "UPDATE procrastinate_jobs SET status = 'todo' "
            "WHERE status IN ('doing', 'aborted', 'failed') AND queue_name = %(host)s",
            host=self.host,
        )
