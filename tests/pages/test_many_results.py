"""A history of half a million results: what a night's pages, the index and ``trend`` cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.history.database import Database
from harness.history.nights import NightReader
from harness.history.store import NightStore
from harness.history.url import HistoryLocation
from harness.nightly.cells import branches_of, cells_of
from harness.nightly.night import (
    BranchNight,
    Classification,
    Incident,
    News,
    NewsKind,
    Night,
    NightState,
    Problem,
    Rate,
    RevisionNight,
)
from harness.nightly.planfile import read_plan
from harness.nightly.result import Result, Slot, Status
from harness.runs.nights.openplan import OpenPlan
from harness.runs.nights.pages import night_pages

PLAN = """
name = "many"
[[tree]]
name = "tree"
source = "/nowhere"
branches = ["main"]
[[boot]]
sanitizers = ["none", "kasan", "kmsan", "kubsan"]
numa = "1-8"
"""
"""32 cells."""

NIGHTS, REVISIONS = 400, 40
"""With 32 cells, 512,000 results."""

BRANCH = "tree:main"
START = datetime(2025, 1, 1, 2, tzinfo=UTC)


def commit_of(night: int, place: int) -> str:
    return f"{night * 100 + place:040x}"


def results_of(number: int, slots: list[Slot]) -> Iterator[Result]:
    """A result of each slot at each revision; one slot fails in the newer half."""
    for place in range(1, REVISIONS + 1):
        for column, slot in enumerate(slots):
            fails = column == number % len(slots) and place > REVISIONS // 2
            yield Result(
                slot, commit_of(number, place), Status.FAILED if fails else Status.PASSED,
                outcome="panic" if fails else "booted", title="panic: made" if fails else "",
                artifact=f"{number}-{place}", configuration="none", topology="2 nodes",
                guest="FreeBSD", host="host", accelerator="tcg", method="direct", seconds=9.0,
                stages={"kernel": 1.0, "init": 7.0 + column / 10},
                frames=({"function": "f", "file": "f.c", "line": 1, "inlined": [],
                         "certain": True},) * 10 if fails else (),
            )  # fmt: skip


def write_nights(database: Database, slots: list[Slot]) -> None:
    """Write all nights through the store, each with a problem."""
    store = NightStore(database, "many")
    for number in range(1, NIGHTS + 1):
        started = START + timedelta(days=number)
        revisions = tuple(
            RevisionNight(BRANCH, commit_of(number, place), commit_of(number, place - 1), place,
                          REVISIONS - place, f"vm: change {number}.{place}")
            for place in range(1, REVISIONS + 1)
        )  # fmt: skip
        tip, base = commit_of(number, REVISIONS), commit_of(number - 1, REVISIONS)
        night = store.begin(
            Night("many", 0, NightState.RUNNING, started,
                  branches=(BranchNight(BRANCH, "/nowhere", tip, base),), revisions=revisions),
            [], 86400.0,
        )  # fmt: skip
        results = list(results_of(number, slots))
        ended = replace(night, state=NightState.ENDED, ended=started, exit_code=1, spent=3600.0)
        store.finish(ended, results[1:], (), ())
        shown = store.add(night, results[0])
        slot = slots[number % len(slots)]
        incident = Incident(slot, commit_of(number, 21), commit_of(number, 20), shown)
        problem = Problem(
            f"{number:08}", "panic: made", "boot", Classification.REGRESSION,
            Rate(20, 20, 0.8, 1.0), 0, (5, 5), number, number, True, (incident,), (slot,),
        )  # fmt: skip
        news = News(NewsKind.REGRESSION, f"r:{number}", "panic: made is new", problem.id, slot)
        store.finish(ended, (), (problem,), (news,))


def seconds(what: Callable[[], object]) -> tuple[float, float]:
    """The least time and CPU time of three calls."""
    times = []
    for _ in range(3):
        before, cpu = time.perf_counter(), time.process_time()
        what()
        times.append((time.perf_counter() - before, time.process_time() - cpu))
    return min(times)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_half_a_million_results(
    tmp_path: Path, history: HistoryLocation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sizes are asserted; times, which are those of this host, are printed."""
    plan_file = tmp_path / "nightly.toml"
    plan_file.write_text(PLAN)
    plan = read_plan(plan_file)
    cells = cells_of(plan)
    database = Database.open(history)
    before = time.perf_counter()
    write_nights(database, [cell.slot for cell in cells])
    written = time.perf_counter() - before
    opened = OpenPlan(plan, branches_of(plan), cells, (), database)
    reader = NightReader(database, "many")
    pages = tmp_path / "pages"
    night_pages(opened, pages)
    sizes = {
        name: (pages / name).stat().st_size
        for name in ("index.html", f"nights/{NIGHTS}/index.html")
    }
    times = {
        "all pages of the newest night": seconds(lambda: night_pages(opened, pages)),
        "trend of 30 nights": seconds(lambda: reader.trend(30)),
        "trend of all nights": seconds(lambda: reader.trend(NIGHTS)),
    }
    assert sum(each.ran for each in reader.trend(NIGHTS)) >= 500_000
    count = NIGHTS * REVISIONS * len(cells)
    lines = [f"{database.place}: {count} results, written in {written:.0f} s"]
    lines += [f"{wall:6.2f} s, CPU {cpu:.2f} s  {name}" for name, (wall, cpu) in times.items()]
    lines += [f"{size / 1024:6.0f} KB {name}" for name, size in sizes.items()]
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert sizes["index.html"] < 300_000
    assert sum(file.stat().st_size for file in pages.rglob("*")) < 2_000_000
