"""The file of a history: created, migrated, refused, and whole after whatever happens."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import insert, select

from harness.errors import InfraError, UsageError
from harness.history.database import Database
from harness.history.migrate import newest_schema, schema_of
from harness.history.schema import Base, ConsoleRow, PlanRow


def test_migrations_create_the_tables_of_the_schema(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "history.sqlite")
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        assert schema_of(connection) == newest_schema()


def test_a_killed_migration_leaves_no_table(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE nights (id)")  # the migration fails half-way
    with pytest.raises(InfraError, match="nights already exists"):
        Database.open(path)
    tables = {name for (name,) in other.execute("SELECT name FROM sqlite_master")}
    assert tables == {"nights"}


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    database = Database.open(path)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UsageError, match="schema 9999") as refused:
        Database.open(path)
    assert "newer version" in refused.value.remedy


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p"])
def test_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UsageError, match=kind):
        Database.open(tmp_path / "history.sqlite", lambda _: kind)
    assert not (tmp_path / "history.sqlite").exists()


def test_a_file_that_is_no_database_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    path.write_text("not a database at all, but a text" * 100)
    with pytest.raises(InfraError, match=r"history\.sqlite") as failed:
        Database.open(path)
    assert "--history" in failed.value.remedy


def test_a_transaction_that_fails_writes_nothing(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "history.sqlite")

    def write() -> None:
        with database.writing() as connection:
            connection.execute(insert(PlanRow).values(name="one"))
            raise ValueError("in between")

    with pytest.raises(ValueError, match="in between"):
        write()
    with database.reading() as connection:
        assert connection.execute(select(PlanRow.name)).all() == []


def test_what_no_database_stores_in_a_text_is_replaced(tmp_path: Path) -> None:
    from harness.history.columns import storable

    assert storable("a\0b\udc80c") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"


def test_a_full_disk_is_a_host_failure_and_what_was_written_stays(tmp_path: Path) -> None:
    """SQLite's own limit of the file's size gives the error that a full disk gives."""
    database = Database.open(tmp_path / "history.sqlite")
    with database.writing() as connection:
        connection.execute(insert(PlanRow).values(name="kept"))

    def write() -> None:
        with database.writing() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
            row = insert(ConsoleRow).values(hash="0" * 64, size=1, data=bytes(1 << 20))
            connection.execute(row)

    with pytest.raises(InfraError, match="full") as failed:
        write()
    assert failed.value.exit_code == 3
    with Database.open(tmp_path / "history.sqlite").reading() as connection:
        assert connection.execute(select(PlanRow.name)).scalars().all() == ["kept"]
