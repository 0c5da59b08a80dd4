"""The one door for subprocesses, with real processes."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from harness.errors import InfraError
from harness.host.clock import HostClock
from harness.host.process import HostRunner

#: Longer than any of this takes, on whatever host; nothing waits for all of it.
SECONDS = 60.0

STARTS_A_SLEEPER = "sleep 1000 >/dev/null 2>&1 & echo $! >pid.new; mv pid.new pid;"

HARNESS = """
import sys, time
from pathlib import Path
from harness.host.process import HostRunner
process = HostRunner().spawn(["bash", "-c", {script!r}], outlives_us={outlives_us})
Path("spawned").touch()
time.sleep(1000)
"""


@pytest.fixture
def runner() -> HostRunner:
    return HostRunner()


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Callable[[], psutil.Process]]:
    """The process that ``STARTS_A_SLEEPER`` has started in ``tmp_path``, once it is there."""
    found: list[psutil.Process] = []

    def find() -> psutil.Process:
        pid = tmp_path / "pid"
        assert becomes_true(pid.exists)
        found.append(psutil.Process(int(pid.read_text())))
        return found[-1]

    yield find
    for process in found:
        if process.is_running():
            process.kill()


def becomes_true(condition: Callable[[], bool]) -> bool:
    """Whether it does, within a time that is longer than it takes on any host."""
    clock = HostClock()
    deadline = clock.monotonic() + SECONDS
    while not condition():
        if clock.monotonic() > deadline:
            return False
        clock.sleep(0.01)
    return True


def has_ended(process: psutil.Process) -> bool:
    """One that nobody has waited for yet has ended, too."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def ends(process: psutil.Process) -> bool:
    return becomes_true(lambda: has_ended(process))


def test_gives_what_the_program_wrote_and_its_status(runner: HostRunner) -> None:
    finished = runner.run(["sh", "-c", "cat; echo no >&2; exit 3"], stdin=b"in\xff", check=False)
    assert (finished.returncode, finished.stdout, finished.stderr) == (3, b"in\xff", b"no\n")
    assert finished.text == "in\N{REPLACEMENT CHARACTER}"


def test_runs_where_it_is_told(runner: HostRunner, tmp_path: Path) -> None:
    assert runner.run(["pwd", "-P"], cwd=tmp_path).text == f"{tmp_path.resolve()}\n"


def test_no_shell_reads_the_arguments(runner: HostRunner) -> None:
    assert runner.run(["printf", "%s|", "$HOME", "*", "a b;c"]).text == "$HOME|*|a b;c|"


def test_failing_program_is_the_hosts_fault_and_shows_its_last_words(runner: HostRunner) -> None:
    with pytest.raises(InfraError) as caught:
        runner.run(["sh", "-c", "echo cause >&2; exit 7"])
    assert caught.value.message == "sh failed with exit status 7"
    assert caught.value.detail == "cause"


@pytest.mark.parametrize("way", ["run", "spawn"])
def test_missing_program_names_its_package(
    runner: HostRunner, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InfraError) as caught:
        getattr(runner, way)(["qemu-system-x86_64", "--version"])
    assert "qemu-system-x86_64 is not installed" in caught.value.message
    assert caught.value.remedy == "install it: apt-get install qemu-system-x86"


def test_child_sees_a_closed_environment(
    runner: HostRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAKEFLAGS", "-j99")
    monkeypatch.setenv("LANG", "C")
    seen = runner.run(["env"], env={"GIVEN": "by name"}).text.splitlines()
    assert "GIVEN=by name" in seen
    assert "LANG=C" in seen
    assert not [line for line in seen if line.startswith("MAKEFLAGS")]


def test_deadline_ends_the_whole_group(
    runner: HostRunner, tmp_path: Path, sleeper: Callable[[], psutil.Process]
) -> None:
    with pytest.raises(InfraError, match=r"did not end within 0\.5 s"):
        runner.run(["sh", "-c", STARTS_A_SLEEPER + "wait"], cwd=tmp_path, deadline=0.5)
    assert (tmp_path / "pid").exists()
    pid = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(pid) or ends(sleeper())


def test_nothing_outlives_a_program_that_was_run(runner: HostRunner, tmp_path: Path) -> None:
    runner.run(["sh", "-c", STARTS_A_SLEEPER], cwd=tmp_path)
    pid = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(pid) or ends(psutil.Process(pid))


def test_spawned_process_is_polled_waited_for_and_killed_with_its_children(
    runner: HostRunner, tmp_path: Path, sleeper: Callable[[], psutil.Process]
) -> None:
    process = runner.spawn(["sh", "-c", STARTS_A_SLEEPER + "wait"], cwd=tmp_path)
    child = sleeper()
    assert process.poll() is None
    assert process.wait(0.01) is None
    process.kill()
    assert process.wait(0) == -signal.SIGKILL
    assert ends(child)
    process.kill()


@pytest.mark.parametrize("way_out", ["kill", "end"])
def test_children_in_groups_of_their_own_end_too(
    runner: HostRunner, tmp_path: Path, sleeper: Callable[[], psutil.Process], way_out: str
) -> None:
    """As the jobs of bmake."""
    process = runner.spawn(["bash", "-c", f"set -m; {STARTS_A_SLEEPER} sleep 0.2"], cwd=tmp_path)
    child = sleeper()
    assert os.getpgid(child.pid) != process.pid
    if way_out == "kill":
        process.kill()
    else:
        process.wait(SECONDS)
    assert ends(child)


def test_children_of_a_spawned_process_end_with_it(
    runner: HostRunner, tmp_path: Path, sleeper: Callable[[], psutil.Process]
) -> None:
    process = runner.spawn(["sh", "-c", STARTS_A_SLEEPER + "exec sleep 0.2"], cwd=tmp_path)
    child = sleeper()
    assert process.wait(SECONDS) == 0
    assert ends(child)


def test_spawned_process_inherits_only_the_descriptors_it_is_given(runner: HostRunner) -> None:
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as kept:
        os.set_inheritable(kept.fileno(), True)
        script = f"echo yes >&{given.fileno()}; echo no >&{kept.fileno()}"
        process = runner.spawn(["bash", "-c", script], pass_fds=[given.fileno()])
        assert process.wait(SECONDS) != 0
        given.seek(0)
        assert given.read() == b"yes\n"
        assert os.fstat(kept.fileno()).st_size == 0


def run_and_kill_a_harness(
    runner: HostRunner, directory: Path, find: Callable[[], psutil.Process], *, outlives_us: bool
) -> psutil.Process:
    """A harness that has spawned a process and is ended by SIGKILL; gives that process."""
    code = HARNESS.format(script="set -m;" + STARTS_A_SLEEPER + "wait", outlives_us=outlives_us)
    harness = runner.spawn([sys.executable, "-c", code], cwd=directory)
    child = find()
    assert becomes_true((directory / "spawned").exists)
    os.kill(harness.pid, signal.SIGKILL)
    assert harness.wait(SECONDS) == -signal.SIGKILL
    return child


def test_what_a_killed_harness_has_spawned_ends(
    runner: HostRunner, tmp_path: Path, sleeper: Callable[[], psutil.Process]
) -> None:
    assert ends(run_and_kill_a_harness(runner, tmp_path, sleeper, outlives_us=False))


def test_what_is_to_outlive_the_harness_does(
    runner: HostRunner, tmp_path: Path, sleeper: Callable[[], psutil.Process]
) -> None:
    child = run_and_kill_a_harness(runner, tmp_path, sleeper, outlives_us=True)
    assert child.is_running()
    assert child.status() != psutil.STATUS_ZOMBIE
