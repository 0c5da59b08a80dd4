"""What a night stores of a cell that ran."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cells import cell

from harness.execution.result import ProgramResult
from harness.nightly.cells import NightCell
from harness.nightly.failures import FailureKey, failure_of
from harness.nightly.result import Result, Slot, Status
from harness.outcome import Outcome
from harness.runs.nights.results import output_of, result_of_cell

SLOT = Slot("tree:main", "command-none-numa2")
COMMAND = NightCell(SLOT, "command", "none", numa="2", command="false", world="slim")
MOMENT = datetime(2026, 1, 2, tzinfo=UTC)


def result(outcome: Outcome = Outcome.BOOTED, **program: Any) -> Result:
    done = cell(outcome, program=ProgramResult("false", **program))
    return result_of_cell(COMMAND, done, Result(SLOT, "tip", Status.NOT_RUN), MOMENT)


@pytest.mark.parametrize(
    ("program", "status", "failure"),
    [
        ({"status": 0}, Status.PASSED, None),
        ({"status": 1}, Status.FAILED, FailureKey("command", "the command failed: false")),
        ({"signal": "SEGV"}, Status.FAILED, FailureKey("command", "the command failed: false")),
        ({"status": 125}, Status.NOT_RUN, None),
        ({"unfinished": "no answer for 300 s"}, Status.HOST_FAILED, None),
    ],
)
def test_a_commands_exit_status_is_the_verdict(
    program: dict[str, Any], status: Status, failure: FailureKey | None
) -> None:
    found = result(**program)
    assert (found.status, failure_of(found)) == (status, failure)


def test_a_kernel_that_fails_while_a_command_runs_is_the_kernels_failure() -> None:
    found = result(Outcome.PANIC, unfinished="the kernel failed while it ran")
    assert found.status is Status.FAILED
    assert found.kind == "boot"


def test_the_end_of_a_commands_output_is_kept(tmp_path: Path) -> None:
    done = cell()
    directory = tmp_path / done.name
    directory.mkdir(parents=True)
    (directory / "stdout.log").write_bytes(b"1\n" * 5000 + b"last line\n")
    (directory / "stderr.log").write_bytes(b"sh: \xff\n")
    found = output_of(tmp_path, done)
    assert len(found) < 8100
    assert "last line" in found
    assert found.endswith("sh: \ufffd\n")
    assert output_of(tmp_path / "none", done) == ""
