"""Machines that exist already: their programs run in order, and power_off on every way out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted_machine import ScriptedMachine, until_read

from harness.errors import HarnessError, InfraError, UsageError
from harness.guest.backend import GuestEnding
from harness.guest.backends import BackendHost, find_backend
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.processid import ProcessId
from harness.host.workspace import Workspace

Make = Callable[..., ScriptedMachine]

SECONDS = 60.0


@pytest.fixture
def machine() -> Iterator[Make]:
    with tempfile.TemporaryDirectory(prefix="hm-") as name:
        yield lambda **scripts: ScriptedMachine(Path(name), scripts)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_console_is_there_before_power_on_and_what_is_typed_comes_to_it(machine: Make) -> None:
    box = machine(
        deliver="cat $HARNESS_MEDIA/kernel $HARNESS_MEDIA/command-line >got",
        power_on="until grep -q console log; do sleep 0.01; done",
    )
    with box.port() as tap:
        guest = box.backend().start(box.spec())
        try:
            assert until_read(tap, b"hello\n") == b"hello\n"
            tap.write(b"typed\n")
            assert until_read(tap, b"typed\n") == b"typed\n"
            assert guest.wait(0) is None
            guest.require_running()
        finally:
            guest.destroy()
    assert [name for name in box.ran if name != "console"] == [
        "power_off", "deliver", "power_on", "power_off",
    ]  # fmt: skip
    assert (box.directory / "got").read_text() == "a kernelharness.nonce=0123\n"


def test_programs_see_a_closed_environment_and_what_the_file_hands_on(
    machine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")
    box = machine(power_on="env >seen")
    box_table = box.table
    box.table = lambda: {**box_table(), "environment": ["SSH_AUTH_SOCK"]}  # type: ignore[method-assign]
    with box.port():
        box.backend().start(box.spec()).destroy()
    seen = (box.directory / "seen").read_text()
    assert "SECRET" not in seen
    assert "SSH_AUTH_SOCK=/agent\n" in seen
    assert "HARNESS_MACHINE=box\n" in seen
    assert "HARNESS_BOOT=direct\n" in seen
    assert "HARNESS_NODES=2\n" in seen


@pytest.mark.parametrize("program", ["power_on", "deliver"])
def test_a_program_that_fails_is_the_hosts_failure_and_the_machine_is_switched_off(
    program: str, machine: Make
) -> None:
    box = machine(**{program: "echo no such machine >&2; exit 7"})
    with box.port(), pytest.raises(InfraError, match=f"{program} .* exit status 7") as caught:
        box.backend().start(box.spec())
    assert caught.value.detail == "no such machine\n"
    assert box.ran[-1] == "power_off"
    assert box.ran.count("power_off") == 2


def test_a_program_that_does_not_end_is_ended_with_all_that_it_started(machine: Make) -> None:
    box = machine(power_on="sleep 1000 & echo $! >child; sleep 1000")
    box.seconds = 1.0
    with box.port(), pytest.raises(InfraError, match="did not end within 1 s"):
        box.backend().start(box.spec())
    assert ProcessId.of(int((box.directory / "child").read_text())) is None
    assert box.ran[-1] == "power_off"


@pytest.mark.parametrize("program", ["power_on", "deliver"])
def test_a_program_that_prints_without_end_is_ended(program: str, machine: Make) -> None:
    box = machine(**{program: "exec yes"})
    with box.port(), pytest.raises(InfraError, match="printed more than 16 MiB"):
        box.backend().start(box.spec())


def test_a_machine_that_cannot_be_switched_off_is_told(machine: Make) -> None:
    box = machine(power_off="[ -e once ] && { echo stuck >&2; exit 3; }; touch once")
    with box.port():
        guest = box.backend().start(box.spec())
        with pytest.raises(InfraError, match=r"power_off of machine box failed .* 3") as caught:
            guest.destroy()
    assert "switch the machine off" in caught.value.remedy
    assert "stuck" in caught.value.detail
    guest.destroy()  # it is tried once


def test_a_power_off_that_hangs_has_a_deadline(machine: Make) -> None:
    box = machine(power_off="[ -e once ] && sleep 1000; touch once")
    box.seconds = 1.0
    with box.port():
        guest = box.backend().start(box.spec())
        with pytest.raises(InfraError, match="timeout of 1 s"):
            guest.destroy()


def test_a_harness_that_is_ending_still_switches_off(machine: Make) -> None:
    box = machine()
    with box.port():
        guest = box.backend().start(box.spec())
        box.runner.close()  # as a signal's handler does
        ended = guest.wait(SECONDS)
        assert ended is not None
        assert ended.ending is GuestEnding.LOST
        guest.destroy()
    assert box.ran[-1] == "power_off"
    assert box.ran.count("power_off") == 2


def test_a_console_that_ends_proves_nothing_of_the_machine(machine: Make) -> None:
    box = machine(console="echo connection lost >&2; exit 4")
    with box.port():
        guest = box.backend().start(box.spec())
        ended = guest.wait(SECONDS)
        assert ended is not None
        assert ended.failure is not None
        assert "exit status 4" in ended.failure.message
        assert "connection lost" in ended.failure.detail
        with pytest.raises(InfraError, match="whether the machine has ended is unknown"):
            guest.require_running()
        guest.destroy()


def test_power_state_tells_a_silent_machine_from_one_that_is_off(machine: Make) -> None:
    box = machine(power_state="cat state")
    state = box.directory / "state"
    state.write_text("Chassis Power is on\n")
    with box.port():
        guest = box.backend().start(box.spec())
        try:
            guest.require_running()
            assert guest.wait(0) is None
            state.write_text("off\n")
            with pytest.raises(InfraError, match="is off"):
                guest.require_running()
            ended = guest.wait(0)
            assert ended is not None
            assert ended.ending is GuestEnding.POWEROFF
            assert ended.failure is None
            state.write_text("perhaps\n")
            with pytest.raises(InfraError, match="printed 'perhaps'"):
                guest.require_running()
        finally:
            guest.destroy()


def test_one_machine_is_used_by_one_harness_at_a_time(machine: Make) -> None:
    box = machine()
    with box.port():
        guest = box.backend().start(box.spec())
        before = box.ran
        with pytest.raises(InfraError, match=f"in use by process {os.getpid()}"):
            box.backend().start(box.spec())
        assert box.ran == before, "nothing is done to another's machine"
        guest.destroy()
        box.backend().start(box.spec()).destroy()


def test_what_nothing_proves_is_told(machine: Make) -> None:
    unproven = machine().backend().unproven
    assert any("which machine this was" in words for words in unproven)
    assert any("silent" in words for words in unproven)
    known = machine(power_state="echo on").backend().unproven
    assert not any("silent" in words for words in known)


def test_nothing_is_kept_and_no_port_is_assumed(machine: Make) -> None:
    box = machine()
    with pytest.raises(UsageError, match="cannot be kept"):
        box.backend().start(box.spec(), keep=True)
    with pytest.raises(UsageError, match="without a second serial port") as caught:
        box.backend().start(box.spec(channel=True))
    assert "channel = " in caught.value.remedy
    assert not box.ran


def test_a_program_that_is_not_there_is_refused_before_anything_runs(machine: Make) -> None:
    box = machine()
    table = box.table()
    (box.directory / "power_on").chmod(0o644)
    box.table = lambda: table  # type: ignore[method-assign]
    with pytest.raises(
        UsageError, match=r"command\.power_on: .* not an executable program"
    ) as caught:
        box.backend()
    assert "chmod +x" in caught.value.remedy


def test_without_a_file_there_is_no_machine(tmp_path: Path) -> None:
    host = BackendHost(HostRunner(), HostClock(), Workspace(tmp_path, tmp_path, tmp_path))
    with pytest.raises(HarnessError, match="a machine that a vm file describes"):
        find_backend("command").type.make(host)


def test_a_harness_that_is_killed_leaves_no_machine_on(machine: Make) -> None:
    """Even SIGKILL; until it is off, nobody else may use the machine."""
    box = machine()
    child = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(box.directory)],
        cwd=Path(__file__).parent, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        until(lambda: "power_on" in box.ran)
        assert box.ran.count("power_off") == 1
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    until(lambda: box.ran.count("power_off") == 2)
    with box.port():
        until(lambda: _starts(box))


def _starts(box: ScriptedMachine) -> bool:
    try:
        box.backend().start(box.spec()).destroy()
    except InfraError:  # it is in use until it is off
        return False
    return True


_HOLD = """\
import sys, time
from pathlib import Path
from scripted_machine import ScriptedMachine
box = ScriptedMachine(Path(sys.argv[1]))
with box.port():
    guest = box.backend().start(box.spec())
    time.sleep(1000)
"""


def test_the_doctor_finds_what_a_machine_lacks_and_whether_it_is_on(machine: Make) -> None:
    box = machine(power_state="echo broken cable >&2; exit 5")
    host = box.host()
    (box.directory / "console").chmod(0o644)
    found = {one.name: one for one in find_backend("command").type.examine(host)}
    assert found["box: power_on"].ok
    assert not found["box: console"].ok
    assert "chmod +x" in found["box: console"].remedy
    assert found["box: power"].found.endswith("exit status 5: broken cable")
    assert box.ran == ["power_state"], "nothing is switched"
