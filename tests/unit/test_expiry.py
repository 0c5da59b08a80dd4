"""Records that are removed by age and size, and those that are spared."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.main import run
from harness.errors import UsageError
from harness.guest.registry import KeptGuest, Registry
from harness.host.cachesize import CacheEntry
from harness.host.clock import HostClock
from harness.host.processid import ProcessId
from harness.host.workspace import Workspace
from harness.results.expiry import expired, parse_age

OLD = 1_000_000


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The workspace that the command line uses, too."""
    for name in ("CACHE_HOME", "STATE_HOME", "RUNTIME_DIR"):
        monkeypatch.setenv(f"XDG_{name}", str(tmp_path / name))
    return Workspace.of_user()


def record(workspace: Workspace, name: str, **more: object) -> Path:
    """A run of 64 KiB that is older than any age."""
    directory = workspace.runs / name
    (directory / "a-cell").mkdir(parents=True)
    (directory / "a-cell" / "console.log").write_bytes(b"x" * 65536)
    document = {"schema": 1, "name": name, "exit_code": 0, "cells": [], **more}
    (directory / "record.json").write_text(json.dumps(document))
    os.utime(directory / "record.json", (OLD, OLD))
    return directory


@pytest.mark.parametrize(
    ("text", "seconds"), [("12h", 43200), ("30d", 2592000), ("1 w", 604800), ("1y", 31536000)]
)
def test_ages(text: str, seconds: int) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "30", "-1d", "1e9d", "nan", "9999999d", "30 days"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not an age"):
        parse_age(text)


ENTRIES = st.lists(
    st.tuples(st.integers(0, 100), st.integers(0, 100)).map(
        lambda pair: CacheEntry("run", Path(str(pair)), (), pair[0], float(pair[1]))
    ),
    unique_by=lambda entry: entry.path,
)


@given(ENTRIES, st.none() | st.integers(0, 100), st.none() | st.integers(0, 400))
def test_what_stays_is_young_and_small_enough(
    entries: list[CacheEntry], age: int | None, limit: int | None
) -> None:
    gone = expired(entries, now=100.0, age=age, limit=limit)
    stays = [entry for entry in entries if entry not in gone]
    assert age is None or all(100 - entry.used <= age for entry in stays)
    assert limit is None or sum(entry.size for entry in stays) <= limit
    if age is None and limit is None:
        assert gone == []


def test_records_stay_unless_they_are_named(workspace: Workspace) -> None:
    directory = record(workspace, "20260102-030405-boot")
    assert run(["gc", "--limit", "0"]) == 0
    assert run(["gc", "--runs-age", "1y", "--dry-run"]) == 0
    assert directory.exists()
    assert run(["gc", "--runs-age", "1y"]) == 0
    assert not directory.exists()


def test_runs_and_kernels_of_what_runs_are_spared(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    me = ProcessId.of(os.getpid())
    assert me is not None
    owner = {"pid": me.pid, "started": me.started, "boot": me.boot}
    running = record(workspace, "a-running-boot", state="running", owner=owner)
    dead = record(workspace, "a-dead-boot", state="running", owner={**owner, "boot": "another"})
    kept = record(workspace, "a-kept-boot")
    ended = record(workspace, "an-ended-boot")
    for name in ("k1", "k2"):
        (workspace.cache / "kernels" / name).mkdir(parents=True)
        (workspace.cache / "kernels" / name / "kernel").write_bytes(b"x" * 65536)
    guest = KeptGuest(
        "a-cell", kept.name, "a-cell", "FreeBSD", "qemu", 1, {}, "2026-01-02T03:04:05+00:00",
        kept / "a-cell" / "console.log", workspace.runtime / "a-cell-0123abcd.console", kernel="k1",
    )  # fmt: skip
    with Registry(workspace, HostClock()).claim(guest, me.pid) as claim:
        from harness.guest.backend import Whereabouts

        claim.keep(Whereabouts(process=me))
        assert run(["gc", "--limit", "0", "--runs-limit", "0"]) == 0
    assert [directory.exists() for directory in (running, dead, kept, ended)] == [
        True, False, True, False
    ]  # fmt: skip
    assert [path.name for path in (workspace.cache / "kernels").iterdir()] == ["k1"]
    assert "k1 (68.0 KiB) is in use and was kept" in capsys.readouterr().err
