"""Notices that something was reported, so that the asker does not wait for its next look."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import psycopg

from harness.history.postgres import connection_arguments

if TYPE_CHECKING:
    from harness.history.url import DatabaseUrl

NOTIFY: Final = "SELECT pg_notify('harness_reports', '')"
"""The statement that gives notice when its transaction ends.

A role can do no more with it than have the asker look.
"""

#: Seconds between looks at the end, and between attempts to reach the server.
_TICK: Final = 1.0


@contextlib.contextmanager
def noticing(url: DatabaseUrl, call: Callable[[], None]) -> Iterator[None]:
    """Call something at each notice, in a thread, within the context; none is promised to come."""
    ended = threading.Event()

    def listen() -> None:
        while not ended.is_set():
            with (
                contextlib.suppress(psycopg.Error),
                psycopg.connect(**connection_arguments(url), autocommit=True) as connection,
            ):
                connection.execute("LISTEN harness_reports")
                while not ended.is_set():
                    for _ in connection.notifies(timeout=_TICK, stop_after=1):
                        call()
            ended.wait(_TICK)

    thread = threading.Thread(target=listen, name="notices", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(2 * _TICK)
