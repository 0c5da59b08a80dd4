"""Records of runs, from their start to whatever ends them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cells import cell
from fake_environment import NODES, fake_environment
from fake_guests import boots

from harness.errors import InfraError, UsageError
from harness.mutation.judgement import Judgement
from harness.results.record import Cell
from harness.results.unfinished import Planned
from harness.runs.environment import Environment
from harness.runs.guests import Guests
from harness.runs.matrix import Matrix
from harness.runs.recording import Recorder, RunResult
from harness.runs.view import Unseen
from harness.source.request import KernelRequest

PLANNED = Planned("made", ("one",))
HOST_FAILED = cell(None)
BOOTED = cell()


@pytest.fixture
def env(tmp_path: Path) -> Iterator[Environment]:
    with fake_environment(tmp_path, boots) as made:
        yield made


def carried_out(env: Environment, view: Unseen, *results: Cell | BaseException) -> RunResult:
    """Carry out a run whose attempts end in these ways; each writes a console first."""
    left = list(results)

    def work(_: Matrix, directory: Path) -> tuple[tuple[Cell, ...], tuple[Judgement, ...]]:
        (document,) = documents(env, directory.name)
        assert document["state"] == "running"
        found = left.pop(0)
        if isinstance(found, BaseException):
            if not isinstance(found, UsageError):
                (directory / "one").mkdir()
                (directory / "one" / "console.log").touch()
            raise found
        return (found,), ()

    guests = Guests.of(env, view, NODES, KernelRequest("made"))
    return Recorder(env, view).carry_out("boot", guests, 1, work, PLANNED, len(results) - 1)


def documents(env: Environment, name: str = "*") -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(env.runs.glob(f"{name}/record.json"))]


def test_a_host_failure_is_tried_again_with_a_record_of_each_attempt(env: Environment) -> None:
    view = Unseen()
    result = carried_out(env, view, HOST_FAILED, HOST_FAILED, BOOTED)
    assert result.run.cells == (BOOTED,)
    assert [document["exit_code"] for document in documents(env)] == [3, 3, 0]
    assert [warning.partition("(")[2] for warning in view.warnings] == [
        "1 times left)", "0 times left)"
    ]  # fmt: skip


def test_what_has_a_verdict_is_not_tried_again(env: Environment) -> None:
    assert carried_out(env, Unseen(), BOOTED, HOST_FAILED).exit_code == 0
    assert len(documents(env)) == 1


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (InfraError("the disk is full"), "the disk is full"),
        (ValueError("a bug"), "ValueError"),
        (KeyboardInterrupt(), "interrupted"),
    ],
    ids=["the host", "a bug", "a signal"],
)
def test_what_ends_a_run_early_stands_in_its_record(
    env: Environment, error: BaseException, cause: str
) -> None:
    with pytest.raises(type(error)):
        carried_out(env, Unseen(), error)
    (document,) = documents(env)
    assert document["cause"] == cause
    assert document["planned"] == ["one"]
    assert document["cells"] == []


def test_a_run_that_is_refused_before_its_first_guest_leaves_no_record(env: Environment) -> None:
    with pytest.raises(UsageError):
        carried_out(env, Unseen(), UsageError("such a kernel cannot boot"))
    assert list(env.runs.iterdir()) == []


def test_an_unusable_directory_of_records_is_refused_before_anything_runs(
    env: Environment, tmp_path: Path
) -> None:
    out = tmp_path / "none" / "runs"
    with pytest.raises(UsageError, match=f"--out: cannot create {out}"):
        Recorder(replace(env, out=out), Unseen())
