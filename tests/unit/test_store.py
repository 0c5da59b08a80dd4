"""Where records are, and how they are found again."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cells import cell, run

from harness.errors import InfraError, UsageError
from harness.mutation.judgement import Judgement, MutantOutcome
from harness.results.record import Run
from harness.results.store import Store
from harness.results.unfinished import Planned, beginning, failed_mutants, keep_judgement

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def kept(store: Store, name: str, at: int) -> Run:
    """A run that was kept at a time."""
    one = Run(name, ("boot",), "", "1", (cell(),))
    (store.directory / name).mkdir(parents=True)
    record = store.save(one) / "record.json"
    os.utime(record, (at, at))
    return one


def test_directories_are_named_after_command_and_time(store: Store) -> None:
    names = [store.create("boot", MOMENT).name for _ in range(3)]
    assert names == [
        "20260102-030405-boot", "20260102-030405-boot-1", "20260102-030405-boot-2"
    ]  # fmt: skip


def test_run_without_a_record_is_none(store: Store) -> None:
    store.create("boot", MOMENT)
    assert store.names() == []
    with pytest.raises(UsageError, match="the newest runs: none yet") as caught:
        store.find("latest")
    assert caught.value.message == f"there is no run 'latest' in {store.directory}"


def test_latest_is_the_newest_record_whatever_its_name(store: Store) -> None:
    kept(store, "z-run", 1000)
    kept(store, "a-run", 2000)
    assert store.names() == ["z-run", "a-run"]
    assert store.find("latest") == store.directory / "a-run"
    assert store.find("z-run") == store.directory / "z-run"


@pytest.mark.parametrize("name", ["", ".", "..", "../runs/a-run", "a-run/", "*", "/etc"])
def test_name_is_no_path(store: Store, name: str) -> None:
    kept(store, "a-run", 1000)
    with pytest.raises(UsageError, match="the newest runs: a-run"):
        store.find(name)


def test_what_was_saved_is_loaded(store: Store) -> None:
    one = kept(store, "a-run", 1000)
    assert store.load("latest") == json.loads((store.directory / "a-run/record.json").read_text())
    assert store.load("a-run")["name"] == one.name


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "is damaged"), ('{"schema"', "is damaged"), ("[]", "is damaged"),
     ('{"schema": 99}', "a schema that this version")],
)  # fmt: skip
def test_record_that_cannot_be_read_is_refused(store: Store, text: str, words: str) -> None:
    kept(store, "a-run", 1000)
    (store.directory / "a-run/record.json").write_text(text)
    with pytest.raises(UsageError, match=words):
        store.load("a-run")


def test_directory_that_cannot_be_made_is_the_hosts_trouble() -> None:
    with pytest.raises(InfraError, match="cannot write /proc/runs"):
        Store(Path("/proc/runs")).create("boot", MOMENT)


def test_nothing_is_lost_between_run_and_record(store: Store) -> None:
    directory = store.create("boot", MOMENT)
    assert run(cell()).name == directory.name
    assert store.save(run(cell())) == directory
    assert store.load("latest")["cells"][0]["name"] == "kasan-numa2"


def test_judgements_of_a_run_that_did_not_end_are_read_and_the_others_are_to_be_repeated(
    store: Store,
) -> None:
    directory = store.create("mutants", MOMENT)
    planned = Planned(mutants=("caught", "survivor", "host", "unjudged"))
    store.save_document(beginning(directory.name, ("mutants",), "", planned, None))
    for name, fate in (
        ("caught", MutantOutcome.CAUGHT), ("survivor", MutantOutcome.SURVIVED),
        ("host", MutantOutcome.HOST_FAILED),
    ):  # fmt: skip
        keep_judgement(directory, Judgement(name, fate))
    document = store.load(directory.name)
    assert document["state"] == "interrupted"
    assert {each["mutant"]: each["fate"] for each in document["mutants"]} == {
        "caught": "caught", "survivor": "survived", "host": "host failed",
    }  # fmt: skip
    assert failed_mutants(document) == ["survivor", "host", "unjudged"]
    (directory / "mutants" / "caught.json").write_text("{}")
    with pytest.raises(UsageError, match="is damaged"):
        store.load(directory.name)
