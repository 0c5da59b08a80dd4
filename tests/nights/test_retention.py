"""What of a history stays and what expires, and which kernels it keeps in the cache."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from fake_nights import Fault, Nights
from postgres_server import Server
from sqlalchemy import create_engine, select

from harness.history.database import Database
from harness.history.migrate import migrate
from harness.history.nights import NightReader
from harness.history.retention import (
    KeptConsole,
    consoles,
    consoles_to_remove,
    pinned,
    remove_consoles,
)
from harness.history.schema import OutboxRow, ResultRow
from harness.history.url import HistoryLocation
from harness.runs.nights.histories import histories

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def test_the_last_good_and_the_first_bad_of_an_open_problem_stay(
    tmp_path: Path, history: HistoryLocation
) -> None:
    nights = Nights(tmp_path, history=history)
    nights.night()
    nights.commit()
    nights.commit(Fault("no ideas left", 0, nodes=(4,)))
    judged = nights.night().judged
    (incident,) = judged.problems[0].incidents
    assert incident.passing is not None
    database = nights.reader.database
    wanted = {incident.failing.console, incident.passing.console}
    assert pinned(database).consoles == wanted
    assert pinned(database).kernels == {incident.failing.kernel, incident.passing.kernel}
    assert all(pinned(database).kernels)
    every = consoles(database)
    gone = consoles_to_remove(every, pinned(database).consoles, NOW, None, 0)
    remove_consoles(database, [each.hash for each in gone])
    reader = NightReader(database, "made")
    left = {each.console for each in judged.results if reader.console(each.console)}
    assert left == wanted
    assert len(every) > len(wanted)
    nights.mend("no ideas left")
    nights.night()
    assert pinned(database).kernels == frozenset()
    assert pinned(database).consoles >= wanted


def test_consoles_expire_by_age_and_then_by_size() -> None:
    found = [KeptConsole(str(day), 10, NOW - timedelta(days=day)) for day in (9, 5, 3, 1)]

    def gone(age: float | None, limit: int | None, *kept: str) -> list[str]:
        return [each.hash for each in consoles_to_remove(found, kept, NOW, age, limit)]

    assert gone(None, None) == []
    assert gone(4 * 86400.0, None) == ["9", "5"]
    assert gone(None, 25) == ["9", "5"]
    assert gone(4 * 86400.0, 25) == ["9", "5"]
    assert gone(None, 25, "9") == ["5", "3"]
    assert gone(None, 0, "9", "5", "3", "1") == []


def test_a_history_elsewhere_is_found(tmp_path: Path, postgres: Server) -> None:
    nights = Nights(tmp_path, keys='history = "here.sqlite"')
    nights.night()
    nights.history, nights.keys = postgres.database(), ""
    nights.write_plan()
    nights.night()
    with nights.environment() as env:
        here = (tmp_path / "here.sqlite").resolve()
        assert histories(env.workspace) == [here, nights.history]
        here.unlink()
        assert histories(env.workspace) == [nights.history]


def test_a_history_of_the_first_schema_is_migrated_with_its_results(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with create_engine(f"sqlite:///{path}").begin() as connection:
        migrate(connection, "0001")
        connection.exec_driver_sql("INSERT INTO plans (id, name) VALUES (1, 'made')")
    opened = Database.open(path)
    with opened.reading() as connection:
        assert connection.execute(select(OutboxRow.state)).all() == []
        assert connection.execute(select(ResultRow.kernel, ResultRow.cpu)).all() == []
    assert path.with_name("old.sqlite.0001.bak").exists()
