"""Brings the tables of a history to this version's schema."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

if TYPE_CHECKING:
    from sqlalchemy import Connection

_DIRECTORY: Final = Path(__file__).parent / "migrations"


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(_DIRECTORY), version_locations=[str(_DIRECTORY / "versions")])


def newest_schema() -> str:
    """Return the revision of this version's schema."""
    return _scripts().get_heads()[0]


def known_schemas() -> frozenset[str]:
    """Return the revisions of all schemas that this version can read or migrate."""
    return frozenset(script.revision for script in _scripts().walk_revisions())


def schema_of(connection: Connection) -> str | None:
    """Return the revision of a database's schema; None if it has no tables yet."""
    return MigrationContext.configure(connection).get_current_revision()


def migrate(connection: Connection, schema: str = "head") -> None:
    """Run all migrations that the database lacks, in the transaction of the connection.

    Args:
        connection: to the database.
        schema: revision of the wanted schema; default: the newest.
    """
    scripts = _scripts()

    def steps(revision: Any, _: Any) -> Any:
        return scripts._upgrade_revs(schema, revision)

    run: Callable[..., Any] = steps
    with EnvironmentContext(Config(), scripts, fn=run, destination_rev=schema) as context:
        context.configure(connection=connection, transactional_ddl=True)
        context.run_migrations()
