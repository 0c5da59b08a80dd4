"""Values, writers and locks of a history, the same in both kinds of database."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres_server import Server
from sqlalchemy import func, select

from harness.history.columns import storable
from harness.history.database import Database
from harness.history.nights import NightReader, plans_of
from harness.history.past import PastNights
from harness.history.schema import ResultRow
from harness.history.store import NightStore
from harness.history.url import HistoryLocation
from harness.nightly.night import BranchNight, Night, NightState, RevisionNight
from harness.nightly.result import Result, Slot, Status

STARTED = datetime(2026, 3, 29, 2, 30, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=45)))
RESULT = Result(Slot("tree:main", "boot"), "c" * 40, Status.PASSED)


def began(database: Database, plan: str = "made") -> tuple[NightStore, Night]:
    store = NightStore(database, plan)
    return store, store.begin(Night(plan, 0, NightState.RUNNING, STARTED), [], 86400.0)


def test_what_is_stored_is_read_again(history: HistoryLocation) -> None:
    database = Database.open(history)
    store, night = began(database)
    stored = replace(
        RESULT, slot=Slot("b" * 900, "cell" * 300), started=STARTED, seed=(1 << 64) - 1,
        offset=1 << 40, title="panic: a\0b \udc80 \u202e \N{PILE OF POO}", detail="'; DROP TABLE",
        frames=({"function": "f\0", "file": "%s_\\", "line": 1},), seconds=0.1 + 0.2,
        stages={"kernel": 1e-300},
    )  # fmt: skip
    store.add(night, stored, b"\0\xff" * 1000)
    reader = NightReader(database, "made")
    (read,) = reader.results(night)
    assert read.title == storable(stored.title) == "panic: a\ufffdb \ufffd \u202e \U0001f4a9"
    assert read.frames[0]["function"] == "f\ufffd"
    assert (read.slot, read.seed, read.offset) == (stored.slot, stored.seed, stored.offset)
    assert (read.seconds, read.stages, read.detail) == (
        0.1 + 0.2,
        {"kernel": 1e-300},
        stored.detail,
    )
    assert read.started == STARTED
    assert read.started.tzinfo is UTC
    assert reader.console(read.console) == b"\0\xff" * 1000
    assert (reader.last() or night).started == STARTED


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(title=st.text(), seed=st.integers(0, (1 << 64) - 1), offset=st.integers(0, (1 << 63) - 1))
def test_any_text_and_number_is_stored(
    history: HistoryLocation, title: str, seed: int, offset: int
) -> None:
    database = Database.open(history)
    store, night = began(database)
    store.add(night, replace(RESULT, title=title, seed=seed, offset=offset))
    (read,) = NightReader(database, "made").results(night)
    assert (read.title, read.seed, read.offset) == (storable(title), seed, offset)


def test_the_newest_boots_of_a_cell_are_found_in_any_number_of_nights(
    history: HistoryLocation,
) -> None:
    database = Database.open(history)
    past = PastNights(NightReader(database, "made"))
    expected = []
    for number in range(1, 31):
        store, night = began(database)
        failed = replace(RESULT, commit="f" * 40, status=Status.FAILED, outcome="panic")
        results = [failed, replace(RESULT, slot=Slot("tree:main", "other"))]
        for place in range(0 if number % 3 else 2):
            results.append(replace(RESULT, commit=f"{number}-{place}", seconds=float(number)))
            expected.append((number, f"{number}-{place}"))
        store.finish(replace(night, state=NightState.ENDED), results, (), ())
    for before in (30, 29, 3, 2):
        wanted = [pair for pair in expected if pair[0] <= before]
        for last in (1, 5, 100):
            boots = past.boots(RESULT.slot, before, last)
            assert [(each.number, each.commit) for each in boots] == wanted[-last:]
    assert past.good(RESULT.slot, 30) is None
    store.add(night, replace(RESULT, commit="c", attempt=3), b"console")
    good = past.good(RESULT.slot, 30)
    assert good is not None
    assert past.console(good.console) == b"console"


@pytest.mark.parametrize("locale", ["en", "sv", "tr"])
def test_texts_are_ordered_by_code_points_in_any_locale(postgres: Server, locale: str) -> None:
    url = postgres.database(f"LOCALE_PROVIDER icu ICU_LOCALE '{locale}'")
    database = Database.open(url)
    names = ["b", "A", "a-1", "a_2", "B", "é", "z", "ö", "I", "i", "\u0131", "a 3"]
    for name in names:
        began(database, name)
    assert plans_of(database) == sorted(names)


WRITER = """
import sys
sys.path[:0] = {paths!r}
from test_history_values import RESULT, STARTED, Database, Night, NightState, NightStore, replace
from harness.history.url import history_location
night = Night("made", 1, NightState.RUNNING, STARTED)
store = NightStore(Database.open(history_location(sys.argv[1])), "made")
for attempt in range(int(sys.argv[2]), 100_000):
    result = store.add(night, replace(RESULT, attempt=attempt), b"console %d" % attempt)
    print(attempt, result.id, flush=True)
"""


def writer(history: HistoryLocation, first: int) -> subprocess.Popen[str]:
    code = WRITER.format(paths=[str(Path(__file__).parent), str(Path(__file__).parents[1])])
    words = [sys.executable, "-c", code, str(history), str(first)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str], count: int = 0) -> list[tuple[int, int]]:
    """Return so many results that a writer has stored; 0: all until it ends."""
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(count)] if count else process.stdout
    pairs = (line.split() for line in lines if line.endswith("\n"))
    return [(int(attempt), int(number)) for attempt, number in pairs]


def test_two_writers_that_are_killed_lose_and_double_nothing(history: HistoryLocation) -> None:
    """Both write the same results: the second finds those of the first."""
    database = Database.open(history)
    _, night = began(database)
    both = [writer(history, first) for first in (0, 5)]
    seen = [told(each, 15) for each in both]
    for index, each in enumerate(both):
        with each:
            each.send_signal(signal.SIGKILL)
            seen[index] += told(each)
        assert each.returncode == -signal.SIGKILL
    numbers = dict(seen[0]) | dict(seen[1])
    assert all(numbers[attempt] == number for pairs in seen for attempt, number in pairs)
    reader = NightReader(database, "made")
    stored = {each.attempt: each for each in reader.results(night)}
    assert numbers.items() <= {attempt: each.id for attempt, each in stored.items()}.items()
    assert set(stored) - set(numbers) <= {max(dict(pairs)) + 1 for pairs in seen}
    for attempt, result in stored.items():
        assert reader.console(result.console) == b"console %d" % attempt
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(ResultRow)).scalar() == len(
            stored
        )
    store = NightStore(database, "made")
    assert store.add(night, replace(RESULT, attempt=0)).id == stored[0].id


def test_several_processes_create_a_history_at_once(history: HistoryLocation) -> None:
    code = (
        "import sys; from harness.history.database import Database; "
        "from harness.history.url import history_location; "
        "Database.open(history_location(sys.argv[1]))"
    )
    words = [sys.executable, "-c", code, str(history)]
    processes = [subprocess.Popen(words) for _ in range(3)]
    assert [each.wait() for each in processes] == [0, 0, 0]
    assert plans_of(Database.open(history)) == []


def test_boots_of_a_night_are_in_the_order_of_revisions_not_of_tests(
    history: HistoryLocation,
) -> None:
    database = Database.open(history)
    store = NightStore(database, "made")
    commits = ("b" * 40, "c" * 40, "d" * 40)
    revisions = tuple(
        RevisionNight("tree:main", commit, "", place, rank)
        for place, (commit, rank) in enumerate(zip(commits, (2, 1, 0), strict=True), start=1)
    )
    branch = BranchNight("tree:main", "tree", commits[-1], "a" * 40)
    night = Night("made", 0, NightState.RUNNING, STARTED, branches=(branch,), revisions=revisions)
    night = store.begin(night, [], 86400.0)
    for commit in (commits[2], "a" * 40, commits[0], commits[1]):
        store.add(night, replace(RESULT, commit=commit), b"console")
    past = PastNights(NightReader(database, "made"))
    boots = past.boots(RESULT.slot, night.number, 10)
    assert [each.commit for each in boots] == ["a" * 40, *commits]
    good = past.good(RESULT.slot, night.number)
    assert good is not None
    assert good.commit == commits[-1]
