"""Nights on two workers, with real guests: the same verdicts as on one machine."""

from __future__ import annotations

import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from command import Home, temporary_home
from embedded_history import EmbeddedHistory, night_plan
from machine_group import MachineGroup
from postgres_server import Server
from published_schema import valid

RESULTS = (
    'SELECT cell, "commit", purpose, attempt, status, outcome, title FROM results '
    "WHERE purpose <> 'timing' ORDER BY 1, 2, 3, 4"
)


def judged(document: str) -> dict[str, Any]:
    """Return what a night's document says of the kernels."""
    night = valid("nightly run", document)
    problems = [
        (each["title"], each["classification"], (each["culprit"] or {}).get("commit"))
        for each in night["problems"]
    ]
    news = [(each["kind"], each["text"]) for each in night["news"]]
    return {"exit": night["exit_code"], "problems": problems, "news": news}


@pytest.mark.guest
@pytest.mark.parametrize("nights", [1, pytest.param(2, marks=pytest.mark.long)])
def test_nights_on_two_workers_have_the_verdicts_of_one_machine(
    postgres: Server, tmp_path: Path, nights: int
) -> None:
    made = EmbeddedHistory(tmp_path / "made")
    made.change()
    if nights == 1:  # what fails in the first night has no culprit
        made.break_it()
    group = MachineGroup(postgres, tmp_path)
    one, many = tmp_path / "one.toml", tmp_path / "many.toml"
    one.write_text(night_plan(made.directory, history=tmp_path / "one.sqlite"))
    many.write_text(night_plan(made.directory, history=group.owner))
    with (
        temporary_home() as first, temporary_home() as second, temporary_home() as asker,
        group.started(first, "first") as worker, group.started(second, "second"),
    ):  # fmt: skip

        def night(plan: Path, *words: str) -> dict[str, Any]:
            said = asker.run("nightly", "run", plan, "--json", *words)
            assert said.code in (0, 1), said
            return judged(said.stdout)

        assert night(many, "--workers") == night(one)
        if nights == 2:
            made.document()
            made.break_it()
            made.document()
            assert night(many, "--workers") == night(one)
        with sqlite3.connect(tmp_path / "one.sqlite") as local:
            assert group.rows(RESULTS) == local.execute(RESULTS).fetchall()
        twice = "SELECT job FROM leases WHERE job LIKE 'kernel %' GROUP BY job HAVING count(*) > 1"
        assert group.rows(twice) == [], "a kernel is built once in the group"
        assert [*first.cache.glob("replicas/[!.]*"), *second.cache.glob("replicas/[!.]*")]
        assert group.rows("SELECT * FROM file_parts") == []
        hosts = {host for (host,) in group.rows("SELECT host FROM results")}
        assert hosts == {"first", "second"}
        failed = "SELECT DISTINCT host FROM results WHERE status = 'failed' AND purpose = '{}'"
        planned, repeats = (
            group.rows(failed.format(purpose)) for purpose in ("planned", "repeat")
        )  # fmt: skip
        assert planned != repeats, "a failure is repeated on another host"
        consoles = "SELECT count(*) FROM results JOIN consoles ON hash = console"
        ran = "SELECT count(*) FROM results WHERE outcome <> ''"
        assert group.rows(consoles) == group.rows(ran)
        assert worker.end_by(signal.SIGTERM) == 0
        said = asker.run("nightly", "status", many, "--json")
        seen = {
            each["name"]: each["state"] for each in valid("nightly status", said.stdout)["hosts"]
        }
        assert seen == {"first": "left", "second": "works"}
    for home in (first, second):
        assert not list(home.directory.glob("state/harness/group/*/*/order.json"))


@pytest.mark.guest
def test_what_no_host_can_hold_is_refused_before_the_night_begins(
    postgres: Server, tmp_path: Path, home: Home
) -> None:
    group = MachineGroup(postgres, tmp_path)
    plan = tmp_path / "nightly.toml"
    plan.write_text(night_plan("embedded", history=group.owner))

    def refused() -> str:
        said = home.run("nightly", "run", plan, "--workers")
        assert said.code in (2, 3), said
        return said.error

    assert "no worker" in refused()
    with temporary_home() as other, group.started(other, "small", "--memory", "400M"):
        assert "small lacks memory" in refused()
    assert group.rows("SELECT * FROM nights") == []
    plan.write_text(night_plan("embedded", history=tmp_path / "own.sqlite"))
    assert "is not that of a group" in refused()
