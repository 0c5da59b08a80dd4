"""Makes the schema of a history on a server, and the roles that use it.

The owner reads and writes everything. A worker announces hosts, reads what is leased to the hosts
that its own role announced, and reports on that. It sends files for other hosts, within a limit,
and reads those that others sent. It reads and writes nothing else of the history.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.errors import UsageError
from harness.group.files import PARTS
from harness.group.queues import install_queues
from harness.history.database import Database
from harness.history.postgres import SCHEMA
from harness.host.workspace import write_atomic

if TYPE_CHECKING:
    from psycopg import Connection as Session
    from sqlalchemy import Connection

    from harness.history.url import DatabaseUrl

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")

#: What a worker may do, but for the schema itself. Row security does not apply to the owner of a
#: table, nor to the references between tables.
_WORKER: Final = (
    "REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {worker}",
    "REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM {worker}",
    "GRANT SELECT ON alembic_version TO {worker}",
    "GRANT SELECT, INSERT, UPDATE ON hosts TO {worker}",
    "GRANT SELECT, UPDATE (state, result, console, seen) ON leases TO {worker}",
    "GRANT SELECT, UPDATE (status, attempts, worker_id, abort_requested) "
    "ON procrastinate_jobs TO {worker}",
    "GRANT INSERT ON procrastinate_events TO {worker}",
    "GRANT USAGE ON SEQUENCE procrastinate_events_id_seq TO {worker}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON procrastinate_workers TO {worker}",
    "GRANT SELECT, INSERT, DELETE ON file_parts TO {worker}",
)

#: Which rows a worker's role reads and changes: those of the hosts that it announced.
_OWN: Final = "(SELECT name FROM hosts WHERE role = current_user)"

#: Row security: tables with the names and conditions of their policies.
_POLICIES: Final = {
    "hosts": {
        "reading": "FOR SELECT USING (true)",
        "announcing": "FOR INSERT WITH CHECK (role = current_user)",
        "reporting": "FOR UPDATE USING (role = current_user) WITH CHECK (role = current_user)",
    },
    "leases": {
        "reading": f"FOR SELECT USING (host IN {_OWN})",
        "reporting": f"FOR UPDATE USING (host IN {_OWN}) "
        "WITH CHECK (state IN ('running', 'ended', 'late'))",
    },
    # What is fetched is checked by its SHA-256, and from the host that the asker names.
    "file_parts": {
        "reading": "FOR SELECT USING (true)",
        "sending": f"FOR INSERT WITH CHECK (host IN {_OWN} AND has_room_for_files(host))",
        "removing": f"FOR DELETE USING (host IN {_OWN})",
    },
    "procrastinate_jobs": {
        "reading": f"FOR SELECT USING (queue_name IN {_OWN})",
        "taking": f"FOR UPDATE USING (queue_name IN {_OWN})",
    },
}


#: Whether a host may send more; a function that is volatile sees what the same statement inserted.
_ROOM: Final = f"""
CREATE OR REPLACE FUNCTION has_room_for_files(sender text) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = {SCHEMA}, pg_temp
RETURN (SELECT count(*) < {PARTS} FROM file_parts WHERE host = sender)
"""  # noqa: S608 - our names


@dataclass(frozen=True, slots=True)
class Roles:
    """The names of a group's roles.

    Args:
        owner: owns the tables.
        worker: runs what is leased to its hosts.

    Raises:
        UsageError: a name is not one of lower-case letters, digits and underscores, or both are
            the same.
    """

    owner: str = "harness_owner"
    worker: str = "harness_worker"

    def __post_init__(self) -> None:
        for name in (self.owner, self.worker):
            if not _NAME.fullmatch(name) or name.startswith("pg_"):
                raise UsageError(
                    f"{name!r} cannot be the name of a role",
                    remedy="use lower-case letters, digits and underscores, not pg_",
                )
        if self.owner == self.worker:
            raise UsageError(
                f"{self.owner} cannot be both owner and worker", remedy="use two names"
            )


@dataclass(frozen=True, slots=True)
class MadeRole:
    """A role with its URL.

    Args:
        name: its name.
        url: the history's URL for it.
        is_new: whether it was made, with a password in the file that the URL names.
    """

    name: str
    url: DatabaseUrl
    is_new: bool


def make_group(url: DatabaseUrl, roles: Roles, passwords: Path) -> tuple[MadeRole, MadeRole]:
    """Make a history's schema and roles, all or nothing; what exists already is kept.

    Passwords are random, and the server is sent only what verifies them (RFC 5803).

    Args:
        url: the database, with a role that may create roles and schemas in it.
        roles: the names of the roles.
        passwords: directory for the files of the roles' passwords.

    Raises:
        UsageError: the role of the URL lacks a right, or the schema belongs to another role.
        InfraError: the server fails, or a file cannot be written.
    """
    database = Database.unprepared(url)
    written: list[Path] = []
    try:
        with database.writing() as connection:
            made = [
                _make_role(connection, url, name, passwords, written)
                for name in (roles.owner, roles.worker)
            ]
            _make_schema(connection, url, roles.owner)
            # Those who own the tables are those who migrate them.
            connection.exec_driver_sql(f"SET LOCAL ROLE {roles.owner}")
            database.migrate(connection)
            install_queues(connection)
            connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {roles.worker}")
            for statement in _WORKER:
                named = statement.format(worker=roles.worker, schema=SCHEMA)
                connection.exec_driver_sql(named)
            _secure_rows(connection)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    finally:
        database.close()
    owner, worker = made
    return owner, worker


def _make_role(
    connection: Connection, url: DatabaseUrl, name: str, passwords: Path, written: list[Path]
) -> MadeRole:
    """Make a role unless it exists, and the file of its password."""
    path = passwords.absolute() / f"{name}.pgpass"
    parameters = {**dict(url.parameters), "passfile": str(path)}
    own = replace(url, user=name, parameters=tuple(parameters.items()))
    known = "SELECT FROM pg_roles WHERE rolname = %s"
    is_new = connection.exec_driver_sql(known, (name,)).first() is None
    if is_new:
        if path.exists():
            raise UsageError(
                f"{path} exists, but the server has no role {name}",
                remedy="remove the file, or name another directory: --passwords DIR",
            )
        password = secrets.token_urlsafe(24)
        session: Session = connection.connection.driver_connection  # type: ignore[assignment]
        verifier = session.pgconn.encrypt_password(
            password.encode(), name.encode(), b"scram-sha-256"
        )
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN PASSWORD '{verifier.decode()}'")
        written.append(path)
        write_atomic(path, _line(own, password), mode=0o600)
    if not connection.exec_driver_sql("SELECT pg_has_role(%s, 'USAGE')", (name,)).scalar():
        connection.exec_driver_sql(f"GRANT {name} TO CURRENT_USER")
    return MadeRole(name, own, is_new)


def _make_schema(connection: Connection, url: DatabaseUrl, owner: str) -> None:
    """Make the schema.

    Raises:
        UsageError: it belongs to another role.
    """
    wanted = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = %s"
    found = connection.exec_driver_sql(wanted, (SCHEMA,)).scalar()
    if found is None:
        connection.exec_driver_sql(f"CREATE SCHEMA {SCHEMA} AUTHORIZATION {owner}")
    elif found != owner:
        raise UsageError(
            f"the schema {SCHEMA} of {url.label} belongs to the role {found}, not to {owner}",
            remedy=f"name that role: --owner {found}",
        )


def _secure_rows(connection: Connection) -> None:
    """Hide from workers what is not theirs."""
    # Policies of earlier versions.
    for name in ("reading", "night_runs"):
        connection.exec_driver_sql(f"DROP POLICY IF EXISTS {name} ON results")
    connection.exec_driver_sql(_ROOM)
    for table, policies in _POLICIES.items():
        connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        for name, condition in policies.items():
            connection.exec_driver_sql(f"DROP POLICY IF EXISTS {name} ON {table}")
            connection.exec_driver_sql(f"CREATE POLICY {name} ON {table} {condition}")


def _line(url: DatabaseUrl, password: str) -> str:
    """Return the line of a file of passwords (libpq, "The Password File")."""
    host = "*" if not url.host or url.host.startswith("/") else url.host
    words = (host, str(url.port), url.database, url.user, password)
    escaped = (word.replace("\\", "\\\\").replace(":", "\\:") for word in words)
    return ":".join(escaped) + "\n"
