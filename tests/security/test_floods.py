"""Who prints without end fills no disk, and is ended."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from command import GLANCE, Home

from harness.errors import BuildError
from harness.host.loglimits import LogLimits, OutputLog
from harness.host.process import HostRunner
from harness.kernel.make import Make
from harness.kernel.toolchain import Llvm

KEEP, END = 100 * 1024, 400 * 1024

LIMITS = f'[log]\nkeep = "{KEEP}"\nend = "{END}"\n'


@pytest.mark.guest
def test_a_guest_that_floods_its_console_hangs_by_flood(home: Home) -> None:
    home.configure(LIMITS)
    said = home.run(
        "boot", "--source", "embedded", "--accelerator", "tcg",
        "--tunable", "harness.plant=flood", "--json",
    )  # fmt: skip
    assert said.code == 1, said.stderr
    (cell,) = json.loads(said.stdout)["cells"]
    verdict = cell["verdict"]
    assert (verdict["outcome"], verdict["title"]) == ("hang", "console flood")
    assert "are not in console.log" in verdict["warnings"][-1]
    logs = list(home.runs.glob("**/console.log"))
    assert logs
    assert {path.stat().st_size for path in logs} == {KEEP}


def test_limits_that_are_no_sizes_are_the_users_fault(home: Home) -> None:
    home.configure('[log]\nend = "much"\n')
    said = home.run("boot", "--source", "embedded", "--accelerator", "tcg")
    assert said.code == 2
    assert "'much' is not a size" in said.error


def test_a_build_that_floods_its_log_is_ended(tmp_path: Path) -> None:
    bmake = tmp_path / "bmake"
    bmake.write_text("#!/bin/sh\nexec yes a build that never ends\n")
    bmake.chmod(0o755)
    with (tmp_path / "lock").open("w") as lock:
        make = Make(
            bmake, tmp_path, tmp_path, Llvm(14, Path("/bin")), HostRunner(), lock.fileno(),
            limits=LogLimits(KEEP, END),
        )  # fmt: skip
        with pytest.raises(BuildError, match=f"it printed more than {END} bytes"):
            make.run(["buildkernel"], tmp_path / "log")
    assert (tmp_path / "log").stat().st_size == KEEP


def test_the_end_of_a_long_log_is_still_read_for_the_error(tmp_path: Path) -> None:
    script = f"yes x | head -c {2 * KEEP}; echo the last line"
    with OutputLog(tmp_path / "log", LogLimits(KEEP, END)) as log:
        process = HostRunner().spawn(["sh", "-c", script], stdout=log.pipe)
        log.pipe.close()
        assert process.wait() == 0
    assert (tmp_path / "log").stat().st_size == KEEP
    assert log.tail.endswith(b"the last line\n")
    assert not log.flooded


def test_a_process_that_is_left_over_with_the_pipe_is_not_waited_for(tmp_path: Path) -> None:
    runner = HostRunner()
    with OutputLog(tmp_path / "log", LogLimits(KEEP, END)) as log:
        left_over = runner.spawn(["sh", "-c", "echo first; exec sleep 1000"], stdout=log.pipe)
        while not log.tail:
            time.sleep(GLANCE)
    assert (tmp_path / "log").read_bytes() == b"first\n"
    assert left_over.poll() is None
    left_over.kill()
