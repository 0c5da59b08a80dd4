"""``harness nightly issues`` and ``harness gc`` on the history of fake nights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Home, Said
from fake_nights import Fault, Nights
from inprocess import call


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    found = Nights(tmp_path, keys='history = "made.sqlite"')
    found.night()
    found.commit(Fault("no ideas left", 0, nodes=(4,)))
    found.night()
    return found


def test_a_problem_is_added_split_off_and_merged(shared_home: Home, nights: Nights) -> None:
    plan = nights.directory / "nightly.toml"
    file = nights.directory / "issues.toml"

    def issues(*words: str | Path) -> Said:
        return call(shared_home, "nightly", "issues", *words, plan)

    (problem,) = json.loads(issues("list", "--json").stdout)["problems"]
    key = problem["id"]
    file.write_text(
        '[[issue]]\nname = "left"\ntitle = "no .*"\nowner = "me"\nreason = "known"\n'
        "added = 2026-01-01\nexpires = 2099-01-01  # long\n"
    )
    assert issues("merge", key, "left").code == 2
    assert issues("split", key).code == 0
    assert "except_titles" in file.read_text()
    again = issues("split", key)
    assert again.code == 2
    assert "no known issue" in again.stderr
    assert issues("merge", key[:5], "left").code == 0
    assert "except_titles" not in file.read_text()
    assert "# long" in file.read_text()
    assert issues("merge", key, "right").code == 2
    added = issues("add", key, "--owner", "me", "--reason", "x")
    assert added.code == 0
    assert file.read_text().count("[[issue]]") == 2


def test_gc_removes_consoles_that_no_problem_needs(shared_home: Home, nights: Nights) -> None:
    assert call(shared_home, "nightly", "show", nights.directory / "nightly.toml").code == 0
    here = str((nights.directory / "made.sqlite").resolve())

    def counts(*words: str) -> int:
        said = call(shared_home, "gc", "--limit", "1T", "--json", *words)
        assert said.code == 0, said.stderr
        found = json.loads(said.stdout)["consoles"]
        return next((each["count"] for each in found if each["history"] == here), -1)

    assert counts() == -1
    several = counts("--consoles-limit", "0", "--dry-run")
    assert several > 0
    assert counts("--consoles-age", "1d", "--dry-run") >= 0
    assert counts("--consoles-limit", "0") == several
    assert counts("--consoles-limit", "0") == 0


def test_gc_keeps_the_kernels_of_an_open_problem(shared_home: Home, nights: Nights) -> None:
    plan = nights.directory / "nightly.toml"
    shown = json.loads(call(shared_home, "nightly", "show", plan, "--json").stdout)
    kernel = next(each["kernel"] for each in shown["results"] if each["status"] == "failed")
    directory = shared_home.cache / "kernels" / kernel
    directory.mkdir(parents=True)
    said = call(shared_home, "gc", "--limit", "0", "--dry-run")
    assert f"{kernel} (" in said.stderr
    assert "needed by an open problem and was kept" in said.stderr
    assert f"would remove kernel {directory}" not in said.stdout
    directory.rmdir()
