"""``harness nightly`` on the built-in guest: a first night, and a commit that breaks it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Home
from embedded_history import EmbeddedHistory, night_plan
from inprocess import call
from kcidb_io.schema import LATEST
from published_schema import valid


def test_first_plan_is_written_once_and_shown(shared_home: Home, tmp_path: Path) -> None:
    plan = tmp_path / "nightly.toml"
    assert call(shared_home, "nightly", "init", plan).code == 0
    again = call(shared_home, "nightly", "init", plan)
    assert (again.code, "exists" in again.stderr) == (2, True)
    history = ("--history", tmp_path / "history.sqlite")
    shown = call(shared_home, "nightly", "plan", plan, *history, "--json")
    assert valid("nightly plan", shown.stdout)["controls"] == 1
    assert call(shared_home, "nightly", "status", plan, *history).code == 3


@pytest.mark.parametrize("command", ["plan", "run", "status", "show", "trend", "pages", "issues"])
def test_a_plan_that_is_not_there_is_named(shared_home: Home, command: str) -> None:
    said = call(shared_home, "nightly", command, "/no/nightly.toml")
    assert said.code == 2
    assert "/no/nightly.toml" in said.stderr
    assert "harness nightly init" in said.stderr


@pytest.mark.guest
def test_a_commit_that_breaks_the_boot_is_found_and_exported(home: Home, tmp_path: Path) -> None:
    made = EmbeddedHistory(tmp_path / "made")
    made.change()
    plan = tmp_path / "nightly.toml"
    plan.write_text(night_plan(made.directory))
    first = home.run("nightly", "run", plan, "--json")
    assert first.code == 0, first
    assert valid("nightly run", first.stdout)["news"] == []
    made.document()
    culprit = made.break_it()
    made.document()
    second = home.run("nightly", "run", plan, "--json")
    night = valid("nightly run", second.stdout)
    assert second.code == night["exit_code"] == 1
    assert [news["kind"] for news in night["news"]] == ["regression", "culprit"]
    (problem,) = night["problems"]
    assert problem["culprit"]["commit"] == culprit
    assert [slot["cell"] for slot in problem["culprit"]["slots"]] == ["boot-none-numa2"]
    exported(home, plan, tmp_path)
    added = home.run(
        "nightly", "issues", "add", problem["id"], plan, "--owner", "me", "--reason", "known"
    )
    assert added.code == 0, added
    third = home.run("nightly", "run", plan, "--json")
    assert (third.code, valid("nightly run", third.stdout)["news"]) == (0, [])


def exported(home: Home, plan: Path, directory: Path) -> None:
    lines, junit = directory / "night.jsonl", directory / "night.xml"
    said = home.run("nightly", "export", plan, "--kcidb", lines, "--junit", junit)
    assert said.code == 0, said
    documents = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(documents) == 4
    for document in documents:
        LATEST.validate(document)
    assert "<failure" in junit.read_text()
    refused = home.run("nightly", "pages", plan)
    assert (refused.code, 'add pages = "pages"' in refused.stderr) == (2, True)
    said = home.run("nightly", "pages", plan, "--html", directory / "pages", "--all", "--json")
    index = Path(valid("nightly pages", said.stdout)["index"])
    assert "One new regression in " in index.read_text()
    assert "One new regression in " in (index.parent / "nights" / "2" / "index.html").read_text()
    assert (index.parent / "nights" / "1" / "index.html").is_file()
