"""What ``harness runs`` lists and repeats, and what remains of runs that did not end."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from command import Home, Running
from inprocess import call

COMPARE = ("compare", "--source", "embedded", "--accelerator", "tcg", "--numa", "2,1")
#: After its kernel the guest says nothing; a panic before that ends a boot.
HANGS = (*COMPARE, "--tunable", "harness.plant=hang", "-v")
MUTANTS = ("mutants", "--source", "embedded", "--accelerator", "tcg", "--baseline", "2")
PANICS, HANGING = "before-none-numa2", "before-none-numa1"

pytestmark = pytest.mark.guest


def ended_by(home: Home, signum: signal.Signals) -> Running:
    """A comparison with one result, ended while a guest hangs."""
    with home.started(*HANGS) as running:
        running.wait_for_words(f"{PANICS}: panic")
        running.wait_for_words(f"{HANGING}: kernel at")
        running.end_by(signum)
    home.wait_until_nothing_runs()
    return running


def listed(home: Home, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(call(home, "runs", *words, "--json").stdout)["runs"]
    return found


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_did_not_end_keeps_what_it_had(home: Home, signum: signal.Signals) -> None:
    ended_by(home, signum)
    said = call(home, "report")
    assert said.code == 3
    assert f"{PANICS} " in said.stdout
    cause = "interrupted" if signum == signal.SIGINT else "the harness was killed"
    assert f"did not finish: {cause}\n" in said.stdout
    assert HANGING in said.stdout.partition("without a result: ")[2]
    assert "vm_map_entry_create" in call(home, "console", "latest", PANICS).stdout
    assert "NOT FreeBSD" in call(home, "console", "latest", HANGING).stdout
    (run,) = listed(home, "interrupted")
    assert (run["cells"], run["without_result"], run["outcomes"]) == (1, 3, {"panic": 1})


def test_a_run_is_listed_while_it_runs(home: Home) -> None:
    with home.started(*HANGS) as running:
        running.wait_for_words(f"{PANICS}: panic")
        assert [run["state"] for run in listed(home)] == ["running"]
        assert "still running; 1 cells have ended" in call(home, "report").stdout
        said = call(home, "runs", "retry")
        assert (said.code, "is still running" in said.error) == (2, True)
        running.end_by(signal.SIGTERM)


def test_retry_repeats_what_has_no_result_or_is_named(home: Home) -> None:
    ended_by(home, signal.SIGKILL)
    (run,) = home.runs.iterdir()
    end_without_tunable(run, "harness.plant=hang")
    said = call(home, "runs", "retry", "--json")
    again = json.loads(said.stdout)
    # The panic is as expected, so it is not repeated; all others now boot.
    assert [cell["name"] for cell in again["cells"]] == [
        HANGING, "after-none-numa2", "after-none-numa1"
    ]  # fmt: skip
    assert (said.code, again["retry_of"], again["state"]) == (0, run.name, "ended")
    assert call(home, "runs", "retry", "latest").code == 0  # nothing is left
    named = json.loads(call(home, "runs", "retry", run.name, PANICS, "--json").stdout)
    assert [cell["verdict"]["outcome"] for cell in named["cells"]] == ["panic"]
    assert [each["state"] for each in listed(home, "compare")] == ["interrupted", "ok", "ok"]
    shutil.rmtree(run)
    assert call(home, "runs", "retry", again["name"], "no-such-cell").code == 2


def mutants_with(home: Home, tunable: str) -> Path:
    """The directory of a run of mutants; with that tunable, the kernel without one is caught."""
    assert call(home, *MUTANTS, "--tunable", tunable, "--timeout", "5", "-q").code == 1
    return max(home.runs.iterdir())


def end_without_tunable(run: Path, tunable: str) -> None:
    """From now on the run's command boots guests that behave."""
    record = run / "record.json"
    record.write_text(record.read_text().replace(tunable, "harness.nothing=1"))


def test_retry_judges_the_mutants_again_that_were_judged_wrongly_or_not_at_all(home: Home) -> None:
    run = mutants_with(home, "harness.plant=hang")
    end_without_tunable(run, "harness.plant=hang")
    said = call(home, "runs", "retry", "--json")
    again = json.loads(said.stdout)
    assert (said.code, again["retry_of"]) == (0, run.name), said.stderr
    assert [(each["mutant"], each["fate"]) for each in again["mutants"]] == [
        ("drop-commit", "caught")
    ]  # fmt: skip
    assert "nothing of" in call(home, "runs", "retry").stderr
    named = json.loads(call(home, "runs", "retry", again["name"], "drop-commit", "--json").stdout)
    assert [each["mutant"] for each in named["mutants"]] == ["drop-commit"]
    said = call(home, "runs", "retry", again["name"], "no-such-mutant")
    assert (said.code, "name one of: drop-commit" in said.error) == (2, True)


def test_mutants_that_an_interrupted_run_did_not_judge_are_judged_by_retry(home: Home) -> None:
    with home.started(*MUTANTS, "-v", "--tunable", "harness.plant=hang") as running:
        running.wait_for_words("unmutated-none-numa2: kernel at")
        running.end_by(signal.SIGINT)
    home.wait_until_nothing_runs()
    (run,) = home.runs.iterdir()
    told = call(home, "report").stdout
    assert "without a result: drop-commit\n" in told
    assert f"to repeat what failed: harness runs retry {run.name}\n" in told
    end_without_tunable(run, "harness.plant=hang")
    assert call(home, "runs", "retry", "-q").code == 0
    assert [each["state"] for each in listed(home, "mutants")] == ["interrupted", "ok"]


def test_a_record_from_elsewhere_runs_no_command_of_its_own(home: Home, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "20260102-030405-bisect"
    run.mkdir(parents=True)
    proof = tmp_path / "proof"
    document = {
        "schema": 1, "name": run.name, "exit_code": 3, "cells": [], "planned": ["a"],
        "command": ["bisect", "--restart", "--good", "a", "--bad", "b", "--", "touch", str(proof)],
        "state": "interrupted",
    }  # fmt: skip
    (run / "record.json").write_text(json.dumps(document))
    said = call(home, "runs", "retry", "--out", tmp_path / "runs")
    assert (said.code, proof.exists()) == (2, False)
    assert f"to resume it: harness bisect --good a --bad b -- touch {proof}" in said.error
    (run / "record.json").write_text(json.dumps({**document, "command": ["exec", "true"]}))
    said = call(home, "runs", "retry", "--out", tmp_path / "runs")
    assert (said.code, "cannot be repeated" in said.error) == (2, True)
    (run / "record.json").write_text("{")
    assert [each["state"] for each in listed(home, "--out", str(run.parent))] == ["damaged"]


def test_filters_must_all_fit(home: Home) -> None:
    assert home.run(*COMPARE, "-q").code == 0
    assert len(listed(home, "compare", "ok", "panic", "none")) == 1
    assert listed(home, "compare", "--last", "1")[0]["as_expected"] == 4
    said = call(home, "runs", "no-such-word")
    assert (said.code, "no run matches 'no-such-word'" in said.error) == (2, True)


def test_console_of_several_guests_lists_them(home: Home) -> None:
    assert home.run(*COMPARE, "-q").code == 0
    said = call(home, "console")
    assert said.code == 0
    assert len(said.stdout.splitlines()) == 4
    assert "harness console latest after-none-numa1" in said.stderr
    consoles = json.loads(call(home, "console", "--json").stdout)["consoles"]
    assert [Path(each["console"]).is_file() for each in consoles] == [True] * 4
