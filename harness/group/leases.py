"""What the asker of a night knows of its group, and leases to its hosts; see ``reports``."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, text

from harness.group.notices import noticing
from harness.group.placement import HostOffer
from harness.group.queues import clear_queues, enqueue, has_queues
from harness.history.postgres import PostgresDatabase
from harness.host.tables import Complaint, read_table

if TYPE_CHECKING:
    from harness.group.placement import Job
    from harness.history.database import Database

#: Seconds since a column's time, by the server's clock.
_AGE: Final = "CAST(EXTRACT(EPOCH FROM localtimestamp - {}) AS double precision)"

#: States of leases that take room on their hosts.
OPEN: Final = ("queued", "running")


@dataclass(frozen=True, slots=True)
class KnownHost:
    """A host that announced itself.

    Args:
        offer: what it offers.
        version: the harness that it has, by its content.
        kernels: keys of the kernels in its cache.
        silent: seconds since its worker reported.
        leaving: whether it takes no more.
    """

    offer: HostOffer
    version: str
    kernels: frozenset[str]
    silent: float
    leaving: bool


@dataclass(frozen=True, slots=True)
class Lease:
    """One attempt at a job.

    Args:
        id: its number.
        job: the job.
        attempt: counts the attempts at the job, from 0.
        host: name of the host.
        state: see ``reports``; ``kept``: its result is stored.
        silent: seconds since the cell reported; None: it never did.
        cores: cores that it takes.
        memory: bytes that it takes.
        own: whether it is of this night.
    """

    id: int
    job: str
    attempt: int
    host: str
    state: str
    silent: float | None
    cores: float
    memory: int
    own: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What a host reported on a lease.

    Args:
        lease: number of the lease.
        host: name of the host.
        document: see ``celldirectory.done`` and ``failed``.
        console: the console; empty: there is none.
    """

    lease: int
    host: str
    document: Mapping[str, Any]
    console: bytes = b""


@dataclass(frozen=True, slots=True)
class GroupLeases:
    """The leases of one night.

    Args:
        database: the history, with the owner's role.
        plan: name of the plan.
        number: the night's number.
    """

    database: Database
    plan: str
    number: int

    @property
    def _night(self) -> dict[str, Any]:
        return {"plan": self.plan, "number": self.number}

    def can_lease(self) -> bool:
        """Return whether the history's database has queues.

        Raises:
            InfraError: it cannot be read.
        """
        if not self.database.is_shared:
            return False
        with self.database.reading() as connection:
            return has_queues(connection)

    def noticing(self, call: Callable[[], None]) -> AbstractContextManager[None]:
        """Call something whenever a host may have reported, within the context."""
        storage = self.database.storage
        if not isinstance(storage, PostgresDatabase):
            return nullcontext()
        return noticing(storage.url, call)

    def hosts(self) -> list[KnownHost]:
        """Return all hosts that announced themselves.

        Raises:
            InfraError: the history cannot be read.
        """
        wanted = text(
            f"SELECT offer, version, kernels, {_AGE.format('seen')}, leaving FROM hosts "  # noqa: S608
            "ORDER BY name"
        )
        with self.database.reading() as connection:
            rows = list(connection.execute(wanted))
        found = []
        for offer, version, kernels, silent, leaving in rows:
            known = _offer(offer)
            if known is not None:  # what a worker announces is not trusted
                own = frozenset(each for each in kernels if isinstance(each, str))
                found.append(KnownHost(known, version, own, silent, leaving))
        return found

    def open(self) -> list[Lease]:
        """Return the leases that take room, of all nights, and those of this one that have ended.

        Raises:
            InfraError: the history cannot be read.
        """
        wanted = text(
            f"SELECT id, job, attempt, host, state, {_AGE.format('seen')}, cores, memory, "  # noqa: S608
            f"night_id = ({_NIGHT}) FROM leases WHERE state IN ('queued', 'running') "
            f"OR state = 'ended' AND night_id = ({_NIGHT}) ORDER BY id"
        )
        with self.database.reading() as connection:
            return [Lease(*row) for row in connection.execute(wanted, self._night)]

    def report(self, lease: int) -> Report:
        """Return what was reported on a lease that has ended.

        Raises:
            InfraError: the history cannot be read.
        """
        wanted = text("SELECT id, host, result, console FROM leases WHERE id = :lease")
        with self.database.reading() as connection:
            number, host, result, console = connection.execute(wanted, {"lease": lease}).one()
        document = result if isinstance(result, dict) else {}
        return Report(number, host, document, _unpacked(console))

    def newest(self, job: str) -> Lease | None:
        """Return the newest attempt at a job in this night; None if there is none.

        Raises:
            InfraError: the history cannot be read.
        """
        wanted = text(
            f"SELECT id, job, attempt, host, state, {_AGE.format('seen')}, cores, memory, true "  # noqa: S608
            f"FROM leases WHERE job = :job AND night_id = ({_NIGHT}) ORDER BY attempt DESC LIMIT 1"
        )
        with self.database.reading() as connection:
            row = connection.execute(wanted, {**self._night, "job": job}).first()
        return None if row is None else Lease(*row)

    def place(self, job: Job, attempt: int, host: str, order: Mapping[str, Any]) -> int:
        """Lease a job to a host, and put its order into the host's queue; return the lease.

        Raises:
            InfraError: the history cannot be written.
        """
        wanted = text(
            "INSERT INTO leases (night_id, job, attempt, host, cores, memory, state) "  # noqa: S608
            f"VALUES (({_NIGHT}), :job, :attempt, :host, :cores, :memory, 'queued') RETURNING id"
        )
        values = {
            **self._night, "job": job.id, "attempt": attempt, "host": host, "cores": job.cores,
            "memory": job.memory,
        }  # fmt: skip
        with self.database.writing() as connection:
            lease = int(connection.execute(wanted, values).scalar_one())
            enqueue(connection, host, lease, order)
        return lease

    def withdraw(self, leases: Collection[int], state: str) -> list[int]:
        """Take leases back that have not ended; return those that were.

        Args:
            leases: their numbers.
            state: ``lost`` or ``cancelled``.

        Raises:
            InfraError: the history cannot be written.
        """
        wanted = text(
            "UPDATE leases SET state = :state WHERE id IN :leases "
            "AND state IN ('queued', 'running') RETURNING id"
        ).bindparams(bindparam("leases", expanding=True))
        with self.database.writing() as connection:
            rows = connection.execute(wanted, {"state": state, "leases": list(leases)})
            return [int(number) for (number,) in rows]

    def keep(self, lease: int) -> None:
        """Mark the result of a lease as stored, and drop its console here.

        Raises:
            InfraError: the history cannot be written.
        """
        wanted = text("UPDATE leases SET state = 'kept', console = NULL WHERE id = :lease")
        with self.database.writing() as connection:
            connection.execute(wanted, {"lease": lease})

    def late(self) -> int:
        """Return how many results of withdrawn leases came after all, and were set aside.

        A cell that was cancelled has none.

        Raises:
            InfraError: the history cannot be read.
        """
        wanted = text(
            "SELECT count(*) FROM leases WHERE state = 'late' AND result->>'kind' = 'done' "  # noqa: S608
            f"AND night_id = ({_NIGHT})"
        )
        with self.database.reading() as connection:
            return int(connection.execute(wanted, self._night).scalar_one())

    def clear(self) -> None:
        """Remove what earlier nights leased, what was delivered, and files unless one moves.

        Raises:
            InfraError: the history cannot be written.
        """
        with self.database.writing() as connection:
            connection.execute(
                text("DELETE FROM leases WHERE night_id IN "
                     "(SELECT id FROM nights WHERE state <> 'running')")
            )  # fmt: skip
            connection.execute(
                text("DELETE FROM file_parts WHERE NOT EXISTS "
                     "(SELECT FROM leases WHERE state IN ('queued', 'running'))")
            )  # fmt: skip
            clear_queues(connection)


#: The night in the database.
_NIGHT: Final = (
    "SELECT nights.id FROM nights JOIN plans ON plans.id = nights.plan_id "
    "WHERE plans.name = :plan AND nights.number = :number"
)


def _offer(document: Any) -> HostOffer | None:
    """Return the offer of a document; None if it is none."""
    try:
        return read_table(document, HostOffer)
    except (Complaint, TypeError):
        return None


def _unpacked(console: bytes | None) -> bytes:
    """Return a console; empty if it is damaged."""
    if not console:
        return b""
    try:
        return zlib.decompressobj().decompress(console, _CONSOLE)
    except zlib.error:
        return b""


#: Bytes of a console at most.
_CONSOLE: Final = 2 << 20
