"""What a host reports to its group, by the role of its worker.

A lease is one attempt at a job on one host. Its states: ``queued`` until the host has taken it,
``running`` until its cell reports, then ``ended``. The asker sets ``lost``, if the host is silent
for too long, and ``cancelled``; what is reported on those after all is ``late``: it is set aside.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from harness.errors import UsageError
from harness.group.celldirectory import failed
from harness.group.notices import NOTIFY
from harness.group.session import WorkerSession
from harness.history.columns import storable_value

if TYPE_CHECKING:
    from harness.group.placement import HostOffer
    from harness.history.url import DatabaseUrl

RESULT_LIMIT: Final = 8 << 20
"""Bytes of a result's JSON at most."""


@dataclass(slots=True)
class HostReports:
    """Reports for one host; each call is one transaction. For one thread.

    Args:
        url: the database, with the worker's role.
        host: name of the host.
    """

    url: DatabaseUrl
    host: str
    _session: WorkerSession = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._session = WorkerSession(self.url)

    def announce(self, offer: HostOffer, version: str, schema: str) -> None:
        """Announce the host.

        Args:
            offer: what it offers.
            version: the harness by its content, and Python.
            schema: the tables that this harness knows.

        Raises:
            UsageError: the group has other tables, or another role has a host of that name.
            InfraError: the server fails.
        """
        with self._session.cursor("join the group of") as cursor:
            found = cursor.execute("SELECT version_num FROM alembic_version").fetchone()
            if found is None or found[0] != schema:
                theirs = "no" if found is None else found[0]
                raise UsageError(
                    f"the group of {self.url.label} has schema {theirs}, and this harness {schema}",
                    remedy="install the same version of the harness on all hosts of the group",
                )
            document = json.dumps({**asdict(offer), "accelerators": sorted(offer.accelerators)})
            owner = "SELECT role = current_user FROM hosts WHERE name = %s"
            known = cursor.execute(owner, (self.host,)).fetchone()
            if known is not None and not known[0]:
                raise UsageError(
                    f"another role has announced a host called {self.host}",
                    remedy="give this host another name: --name NAME",
                )
            cursor.execute(
                "INSERT INTO hosts (name, role, version, offer, kernels, seen, leaving) "
                "VALUES (%s, current_user, %s, %s, '[]', localtimestamp, false) "
                "ON CONFLICT (name) DO UPDATE SET version = excluded.version, "
                "offer = excluded.offer, seen = excluded.seen, leaving = false",
                (self.host, version, document),
            )

    def beat(self, kernels: Sequence[str], *, leaving: bool) -> None:
        """Report that the worker runs, and the kernels in the host's cache.

        Raises:
            InfraError: the server fails.
        """
        with self._session.cursor("report to") as cursor:
            cursor.execute(
                "UPDATE hosts SET seen = localtimestamp, kernels = %s, leaving = %s "
                "WHERE name = %s",
                (json.dumps(list(kernels)), leaving, self.host),
            )

    def take(self, lease: int) -> bool:
        """Return whether a lease is to be run, and mark it as running.

        It is true again for one that runs already, and false for one that was withdrawn.

        Raises:
            InfraError: the server fails.
        """
        with self._session.cursor("take work from") as cursor:
            cursor.execute(
                "UPDATE leases SET state = 'running', seen = localtimestamp "
                "WHERE id = %s AND host = %s AND state IN ('queued', 'running') RETURNING id",
                (lease, self.host),
            )
            return cursor.fetchone() is not None

    def beat_cell(self, lease: int) -> str:
        """Report that a cell runs; return the state of its lease; empty: it is gone.

        Raises:
            InfraError: the server fails.
        """
        with self._session.cursor("report to") as cursor:
            cursor.execute(
                "UPDATE leases SET seen = localtimestamp WHERE id = %s AND state = 'running'",
                (lease,),
            )
            found = cursor.execute("SELECT state FROM leases WHERE id = %s", (lease,)).fetchone()
            return str(found[0]) if found else ""

    def report(self, lease: int, result: Mapping[str, Any], console: bytes) -> str:
        """Report the result of a lease; return its state; empty: it is gone.

        A result that is reported already stays; one of a withdrawn lease is set aside.

        Args:
            lease: its number.
            result: a small JSON document; a large one counts as the host's failure.
            console: the console; empty: there is none.

        Raises:
            InfraError: the server fails.
        """
        text = json.dumps(storable_value(result))
        if len(text) > RESULT_LIMIT:
            text = json.dumps(failed(f"its result has {len(text)} bytes, which are too many"))
        with self._session.cursor("report to") as cursor:
            cursor.execute(
                "UPDATE leases SET result = %s, console = %s, "
                "state = CASE state WHEN 'running' THEN 'ended' ELSE 'late' END "
                "WHERE id = %s AND state IN ('running', 'lost', 'cancelled')",
                (text, zlib.compress(console) if console else None, lease),
            )
            cursor.execute(NOTIFY)
            found = cursor.execute("SELECT state FROM leases WHERE id = %s", (lease,)).fetchone()
            return str(found[0]) if found else ""

    def running(self) -> dict[int, str]:
        """Return the states of the host's leases that it has taken and not reported on.

        Raises:
            InfraError: the server fails.
        """
        with self._session.cursor("read") as cursor:
            rows = cursor.execute(
                "SELECT id, state FROM leases WHERE host = %s AND "
                "state IN ('running', 'lost', 'cancelled')", (self.host,),
            )  # fmt: skip
            return {int(number): str(state) for number, state in rows}

    def free_orders(self, before: frozenset[int]) -> frozenset[int]:
        """Return the orders that are being taken; put those back that were before, too.

        An order whose taking was not acknowledged, because the server was away, would stay so.

        Raises:
            InfraError: the server fails.
        """
        with self._session.cursor("read") as cursor:
            rows = cursor.execute(
                "SELECT id FROM procrastinate_jobs WHERE status = 'doing' AND queue_name = %s",
                (self.host,),
            )
            taken = frozenset(int(number) for (number,) in rows)
            cursor.execute(
                "UPDATE procrastinate_jobs SET status = 'todo' WHERE id = ANY(%s) "
                "AND status = 'doing'", (list(taken & before),),
            )  # fmt: skip
            return taken - before

    def close(self) -> None:
        """Close the connection."""
        self._session.close()
