"""The database of a group: its roles and what they may do, and histories that move to it."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from fake_nights import Fault, Nights
from postgres_server import Server
from sqlalchemy import delete, select, text

from harness.errors import HarnessError, InfraError, UsageError
from harness.group.historycopy import copy_history
from harness.group.roles import MadeRole, Roles, make_group
from harness.history.database import Database
from harness.history.nights import NightReader
from harness.history.schema import Base, NightRow, PlanRow
from harness.history.store import NightStore
from harness.history.url import DatabaseUrl
from harness.nightly.night import Night, NightState
from harness.nightly.result import Result, Slot, Status
from harness.runs.nights.importing import import_history

RESULT = Result(Slot("tree:main", "boot"), "c" * 40, Status.PASSED)


def roles_of(server: Server, name: str) -> Roles:
    """Return names of roles that the server does not have: they are not a database's own."""
    return Roles(f"{name}_owner", f"{name}_worker")


def group(server: Server, directory: Path, name: str) -> tuple[DatabaseUrl, MadeRole, MadeRole]:
    """Make a group as the superuser; return its database, owner and worker."""
    url = server.database(owner="admin")
    admin = replace(url, user="admin", host=str(server.directory), parameters=())
    owner, worker = make_group(admin, roles_of(server, name), directory)
    owner, worker = (
        replace(each, url=replace(each.url, host=server.address)) for each in (owner, worker)
    )
    return admin, owner, worker


def running(database: Database) -> tuple[NightStore, Night]:
    store = NightStore(database, "made")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return store, store.begin(Night("made", 0, NightState.RUNNING, now), [], 86400.0)


def test_a_workers_role_reads_and_writes_nothing_of_the_history(
    postgres: Server, tmp_path: Path
) -> None:
    _, owner, worker = group(postgres, tmp_path, "limited")
    ours, theirs = Database.open(owner.url), Database.open(worker.url)
    _, night = running(ours)
    with pytest.raises(UsageError, match="lacks a right"):
        NightStore(theirs, "made").add(night, RESULT, b"console")

    def forbidden(statement: str) -> None:
        with theirs.writing() as connection:
            connection.execute(text(statement))

    # It sends and removes files of its own hosts: see test_group_files.py.
    own = {"hosts", "leases", "locks", "file_parts"}
    every = Base.metadata.sorted_tables
    tables = [table for table in every if table.name not in own]
    statements = [
        *(str(delete(table)) for table in every if table.name != "file_parts"),
        *(str(select(table)) for table in tables),
        "SELECT * FROM locks", "INSERT INTO consoles VALUES ('a', 1, '')",
        "UPDATE nights SET state = state", "UPDATE results SET title = ''",
        "UPDATE leases SET host = 'other'", "CREATE TABLE own (id int)",
        "ALTER TABLE leases DISABLE ROW LEVEL SECURITY", "DROP TABLE results",
        "INSERT INTO plans (name) VALUES ('forged')", "SET ROLE limited_owner",
        "CREATE ROLE other", "UPDATE alembic_version SET version_num = '1'",
        "COPY nights TO PROGRAM 'id'", "SELECT pg_read_file('/etc/passwd')",
    ]  # fmt: skip
    for statement in statements:
        with pytest.raises(HarnessError) as refused:
            forbidden(statement)
        assert "lacks a right" in refused.value.message, statement


def test_a_group_is_made_once_with_passwords_that_only_files_have(
    postgres: Server, tmp_path: Path
) -> None:
    admin, owner, worker = group(postgres, tmp_path, "twice")
    passwords = {}
    for role in (owner, worker):
        path = Path(dict(role.url.parameters)["passfile"])
        assert (role.is_new, stat.S_IMODE(path.stat().st_mode)) == (True, 0o600)
        passwords[role.name] = path.read_text().rsplit(":", 1)[1].strip()
    running(Database.open(owner.url))
    again = make_group(admin, roles_of(postgres, "twice"), tmp_path)
    assert [each.is_new for each in again] == [False, False]
    assert NightReader(Database.open(owner.url), "made").last() is not None
    with postgres.admin() as connection:
        stored = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname LIKE 'twice%'")
        assert all(each.startswith("SCRAM-SHA-256$") for (each,) in stored)
    log = (postgres.directory / "log").read_text()
    assert not [each for each in passwords.values() if each in log]


def test_a_role_that_creates_roles_makes_a_group_without_being_a_superuser(
    postgres: Server, tmp_path: Path
) -> None:
    postgres.execute("CREATE ROLE manager LOGIN CREATEROLE")
    url = postgres.database(owner="manager")
    local = replace(url, user="manager", host=str(postgres.directory), parameters=())
    owner, _ = make_group(local, roles_of(postgres, "managed"), tmp_path)
    running(Database.open(replace(owner.url, host=postgres.address)))


def test_a_group_that_cannot_be_made_leaves_no_role_and_no_file(
    postgres: Server, tmp_path: Path
) -> None:
    url = postgres.database(owner="admin")
    postgres.execute("CREATE SCHEMA harness", database=url.database)
    local = replace(url, user="admin", host=str(postgres.directory), parameters=())
    with pytest.raises(UsageError, match="belongs to the role admin"):
        make_group(local, roles_of(postgres, "never"), tmp_path)
    with pytest.raises(UsageError, match="lacks a right"):
        make_group(postgres.url(url.database), roles_of(postgres, "never"), tmp_path)
    assert list(tmp_path.iterdir()) == []
    with postgres.admin() as connection:
        found = connection.execute("SELECT FROM pg_roles WHERE rolname LIKE 'never%'").fetchall()
    assert found == []


@pytest.mark.parametrize("name", ["", "a b", 'x"; DROP', "Owner", "pg_monitor", "x" * 64])
def test_a_name_that_no_role_can_have_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        Roles(owner=name)
    with pytest.raises(UsageError):
        Roles("same", "same")


def everything(database: Database) -> list[str]:
    """Return what the readers return of all nights."""
    reader = NightReader(database, "made")
    found = []
    for night in reader.nights(None):
        judged = reader.judged_night(night.number)
        found += [
            repr(each) for each in (judged.night, judged.results, judged.problems, judged.news)
        ]
        found += [reader.console(each.console).decode("latin1") for each in judged.results]
    return found


def without_ids(texts: list[str]) -> list[str]:
    import re

    return [re.sub(r"\b(id|shared)=\d+", r"\1=N", each) for each in texts]


def test_an_imported_history_is_the_same_and_goes_on(postgres: Server, tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    nights.commit()
    nights.night()
    nights.commit(equal=True)
    nights.commit(Fault("no ideas left", 0, nodes=(4,)))
    nights.night()
    file = tmp_path / "state" / "nightly" / "made.sqlite"
    url = postgres.database()
    target = Database.open(url)
    # Others' rows come first, so that numbers change.
    NightStore(target, "other").begin(
        Night("other", 0, NightState.RUNNING, datetime(2026, 1, 1, tzinfo=UTC)), [], 1.0
    )
    with nights.environment() as env:
        (plan,) = import_history(file, url, env)
        assert (plan.name, plan.nights, plan.is_new) == ("made", 2, True)
        (plan,) = import_history(file, url, env)
        assert not plan.is_new
    source = Database.open(file)
    assert without_ids(everything(target)) == without_ids(everything(source))
    nights.history = url
    nights.write_plan()
    nights.mend("no ideas left")
    third = nights.night().judged
    assert (third.night.number, third.problems[0].open) == (3, False)
    with nights.environment() as env:  # the file is older than the database now
        (plan,) = import_history(file, url, env)
        assert not plan.is_new
    assert len(NightReader(target, "made").nights()) == 3


def test_an_import_that_fails_copies_nothing(postgres: Server, tmp_path: Path) -> None:
    source = Database.open(tmp_path / "history.sqlite")
    store, night = running(source)
    store.add(night, RESULT, b"console")
    with source.writing() as connection:
        connection.exec_driver_sql("UPDATE results SET seconds = 'not a number'")
    url = postgres.database()
    target = Database.open(url)
    with pytest.raises(InfraError, match="not a number"):
        copy_history(source, target)
    with target.reading() as connection:
        assert connection.execute(select(PlanRow.id)).all() == []
        assert connection.execute(select(NightRow.id)).all() == []


def test_other_nights_of_a_plan_are_not_mixed(postgres: Server, tmp_path: Path) -> None:
    source, target = Database.open(tmp_path / "history.sqlite"), Database.open(postgres.database())
    store, _ = running(source)
    store.begin(Night("made", 0, NightState.RUNNING, datetime(2026, 1, 2, tzinfo=UTC)), [], 1.0)
    running(target)
    with pytest.raises(UsageError, match="other nights of the plan made"):
        copy_history(source, target)


def test_a_history_of_a_running_night_is_not_imported(postgres: Server, tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    url = postgres.database()
    file = tmp_path / "state" / "nightly" / "made.sqlite"
    refused: list[HarnessError] = []

    def at_boot() -> None:
        with nights.environment() as env, pytest.raises(InfraError, match="is running") as found:
            import_history(file, url, env)
        refused.append(found.value)
        nights.at_boot = lambda: None

    nights.at_boot = at_boot
    nights.night()
    assert refused


def test_commands_of_a_group(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from harness.cli.main import run

    for name in ("CONFIG", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    call: Callable[..., int] = lambda *words: run(["group", *words, "--json"])  # noqa: E731
    url = postgres.database(owner="admin")
    local = str(replace(url, user="admin", host=str(postgres.directory), parameters=()))
    assert call("init", local, "--owner", "cli_owner", "--worker", "cli_worker") == 0
    owner, worker = json.loads(capsys.readouterr().out)["roles"]
    assert (owner["name"], worker["name"]) == ("cli_owner", "cli_worker")
    assert str(tmp_path / "CONFIG" / "harness" / "cli_owner.pgpass") in owner["url"]
    file = tmp_path / "history.sqlite"
    running(Database.open(file))
    usable = str(replace(DatabaseUrl.parse(owner["url"]), host=postgres.address))
    for copied in (True, False):
        assert call("import", str(file), usable) == 0
        (plan,) = json.loads(capsys.readouterr().out)["plans"]
        assert plan == {"name": "made", "nights": 1, "copied": copied}
    assert call("import", str(tmp_path / "none"), usable) == 2
    assert call("init", "postgresql://me:tru5tno1@db/x") == 2
    assert call("init", "mysql://db/x") == 2
    assert "tru5tno1" not in "".join(capsys.readouterr())
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(
            host=postgres.address, port=postgres.port, user="cli_owner", dbname="postgres"
        )
