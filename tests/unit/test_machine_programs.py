"""What is asked of machines and their monitors, and what their programs are told."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from guest_specs import guest_spec
from scripted_machine import ScriptedMachine

from harness.errors import InfraError
from harness.guest.backend import GuestEnding
from harness.guest.commandguest import CommandGuest
from harness.guest.controlkeeper import keeper_argv, serve
from harness.guest.controlled import ControlledGuest
from harness.guest.libvirtd import PrivateLibvirtd
from harness.guest.machineprograms import MOST_OUTPUT, MachinePrograms, end_of, temporary_file
from harness.host.clock import ManualClock
from harness.host.process import HostRunner
from harness.host.workspace import Workspace


@pytest.fixture
def short() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="hm-"))  # as a socket's path must be
    yield directory
    shutil.rmtree(directory)


Made = Callable[..., MachinePrograms]


@pytest.fixture
def programs(short: Path) -> Made:
    def made(**scripts: str) -> MachinePrograms:
        box = ScriptedMachine(short, scripts)
        machine: Any = box.host().machine
        return MachinePrograms(machine.own, box.runner, ManualClock())

    return made


# --- programs of a vm file --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prints", "state"), [("on", "on"), ("OFF", "off"), ("the power is: on", "on")]
)
def test_the_last_word_of_power_state_counts(programs: Made, prints: str, state: str) -> None:
    assert programs(power_state=f"echo {prints}").power() == state


def test_a_machine_without_power_state_has_none(programs: Made) -> None:
    assert programs().power() is None


@pytest.mark.parametrize("prints", ["", "maybe", "on fire"])
def test_another_word_is_refused_with_the_command(programs: Made, prints: str) -> None:
    with pytest.raises(InfraError, match="power_state of machine box printed") as refused:
        programs(power_state=f"echo {prints}").power()
    assert "it must print on or off" in refused.value.remedy
    assert "/power_state" in refused.value.remedy


def test_a_program_that_fails_is_named_with_its_output(programs: Made) -> None:
    with pytest.raises(InfraError, match="deliver of machine box failed with exit status 3") as one:
        programs(deliver="echo no space; exit 3").run("deliver", {})
    assert "no space" in one.value.detail


def test_a_program_that_takes_too_long_is_ended(programs: Made) -> None:
    made = programs(deliver="exec sleep 600")
    clock = cast("ManualClock", made._clock)
    timer = threading.Timer(0.2, lambda: clock.sleep(made.machine.seconds + 1))
    timer.start()
    with pytest.raises(InfraError, match="did not end within 60 s"):
        made.run("deliver", {})
    timer.join()


def test_a_program_that_prints_without_end_is_ended(programs: Made) -> None:
    with pytest.raises(InfraError, match=f"printed more than {MOST_OUTPUT >> 20} MiB") as one:
        programs(deliver="exec yes").run("deliver", {})
    assert len(one.value.detail) <= 8192


def test_the_end_of_a_file_is_read_without_moving_its_offset() -> None:
    with temporary_file() as file:
        file.write(b"a" * 10_000 + b"\xff end")
        file.flush()
        assert end_of(file).endswith("a\ufffd end")
        assert len(end_of(file)) <= 8192
        assert file.tell() == 10_005


def test_programs_are_told_of_the_machine_that_is_asked_for(programs: Made, tmp_path: Path) -> None:
    told = programs().environment(guest_spec(), tmp_path)
    assert told["HARNESS_BOOT"] == "loader"
    assert told["HARNESS_NODES"] == "2"
    assert told["HARNESS_MEDIA"] == str(tmp_path)
    assert told["HARNESS_CHANNEL"] == ""
    with_channel = guest_spec(serial_sockets=(tmp_path / "com2",))
    assert programs().environment(with_channel, tmp_path)["HARNESS_CHANNEL"] == "1"


# --- a machine that is switched on ------------------------------------------------------------


@pytest.fixture
def box(short: Path) -> CommandGuest:
    machine = ScriptedMachine(short, {"power_state": "cat state"})
    (short / "state").write_text("on")
    fixed: Any = machine.host().machine
    made = MachinePrograms(fixed.own, machine.runner, ManualClock())
    return CommandGuest(made, machine.host(), machine.spec())


def test_a_machine_that_was_not_started_has_been_ended_by_the_harness(box: CommandGuest) -> None:
    ended = box.wait()
    assert ended is not None
    assert ended.ending is GuestEnding.KILLED
    box.destroy()


def test_a_machine_that_is_off_has_powered_off(box: CommandGuest, short: Path) -> None:
    box.require_running()
    (short / "state").write_text("off")
    with pytest.raises(InfraError, match="machine box is off"):
        box.require_running()
    ended = box.wait()
    assert ended is not None
    assert ended.ending is GuestEnding.POWEROFF
    box.destroy()


def test_of_a_machine_that_is_no_process_little_is_known(box: CommandGuest) -> None:
    box.leave()
    assert (box.pid, box.monitor, box.cpu_seconds()) == (None, None, None)
    assert box.machine_differences(guest_spec()) == ()
    with pytest.raises(InfraError, match="has no network"):
        box.forwarded_port()
    box.destroy()


def test_consoles_that_write_errors_without_end_are_the_hosts_failure(box: CommandGuest) -> None:
    box.stop_state()
    box._stderr.write(bytes(MOST_OUTPUT + 1) + b"the last word")
    box._stderr.flush()
    with pytest.raises(InfraError, match="to standard error") as failed:
        box.stop_state()
    assert "the last word" in failed.value.detail
    box.destroy()
    assert box.stderr_tail().endswith("the last word")


# --- QEMU's monitor ---------------------------------------------------------------------------


class Control:
    """Answers queries from a table."""

    def __init__(self, answers: Mapping[str, object]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def query(self, command: str, arguments: Mapping[str, Any] | None = None) -> object:
        del arguments
        self.asked.append(command)
        if command not in self.answers:
            raise InfraError("QEMU has exited")
        return self.answers[command]


def test_a_guest_that_does_not_answer_does_not_run() -> None:
    control = Control({"query-status": {"status": "running"}})
    guest = ControlledGuest(cast("Any", control))
    guest.require_running()
    assert cast("Any", guest.monitor) is control
    with pytest.raises(InfraError):
        ControlledGuest(cast("Any", Control({}))).require_running()


def test_the_port_of_a_guest_is_what_qemu_forwards() -> None:
    table = "Hub -1 (nic):\n  TCP[HOST_FORWARD]  12  127.0.0.1 40123  10.0.2.15  22  0  0\n"
    control = Control({"human-monitor-command": table})
    assert ControlledGuest(cast("Any", control)).forwarded_port() == 40123
    assert control.asked == ["human-monitor-command"]


# --- the keeper of a monitor ------------------------------------------------------------------


@dataclass
class Kept:
    """A monitor that a keeper lends, and QEMU's end of it."""

    qemu: socket.socket
    door: Path
    stub: Path
    keeper: threading.Thread

    def borrowed(self) -> tuple[socket.socket, socket.socket]:
        """Return a client's connection to the keeper, and the monitor that it was lent."""
        client = socket.socket(socket.AF_UNIX)
        while True:
            try:
                client.connect(str(self.door))
                break
            except OSError:
                threading.Event().wait(0.01)
        _, descriptors, _, _ = socket.recv_fds(client, 1, 1)
        return client, socket.socket(fileno=descriptors[0])


@pytest.fixture
def kept(short: Path) -> Iterator[Kept]:
    ours, qemu = socket.socketpair()
    qemu.settimeout(60.0)
    door, stub = short / "door", short / "stub"
    keeper = threading.Thread(target=serve, args=(ours, door, stub), daemon=True)
    keeper.start()
    yield Kept(qemu, door, stub, keeper)
    qemu.close()
    keeper.join(60.0)
    ours.close()
    assert not keeper.is_alive()
    assert not door.exists()


def test_a_monitor_is_lent_to_one_client_after_another(kept: Kept) -> None:
    for _ in range(2):
        client, monitor = kept.borrowed()
        with client, monitor:
            monitor.sendall(b"query\n")
            assert kept.qemu.recv(100) == b"query\n"
            with socket.socket(socket.AF_UNIX) as second:
                second.connect(str(kept.door))
                second.settimeout(60.0)
                assert second.recv(1) == b""  # it is lent


def test_after_a_client_that_left_a_stub_the_guest_runs_on(kept: Kept) -> None:
    client, monitor = kept.borrowed()
    kept.stub.touch()
    client.close()
    monitor.close()
    received = b""
    while b"chardev-remove" not in received or not received.endswith(b"\n"):
        received += kept.qemu.recv(4096)
    messages = [json.loads(line) for line in received.splitlines()]
    assert [each["execute"] for each in messages] == [
        "human-monitor-command", "cont", "chardev-remove",
    ]  # fmt: skip
    kept.qemu.sendall(str(messages[-1]["id"]).encode() + b"\n")
    assert not kept.stub.exists()


def test_a_keeper_needs_nothing_of_the_harness(tmp_path: Path) -> None:
    words = keeper_argv(5, tmp_path / "door", tmp_path / "stub")
    assert words[1:3] == ["-I", "-S"]
    assert words[-3:] == ["5", tmp_path / "door", tmp_path / "stub"]


# --- libvirt's daemon -------------------------------------------------------------------------


def test_a_path_that_is_too_long_for_libvirts_sockets_is_refused_before_a_start(
    tmp_path: Path,
) -> None:
    runtime = tmp_path / ("x" * 60)
    workspace = Workspace(tmp_path / "cache", tmp_path / "state", runtime)
    with pytest.raises(InfraError, match="path too long") as refused:
        PrivateLibvirtd(HostRunner(), workspace).ensure()
    assert "XDG_RUNTIME_DIR" in refused.value.remedy


def test_the_daemon_is_the_workspaces_own(short: Path) -> None:
    workspace = Workspace(short / "cache", short / "state", short / "run")
    daemon = PrivateLibvirtd(HostRunner(), workspace)
    assert daemon.socket.is_relative_to(workspace.runtime)
    assert daemon.uri == f"qemu+unix:///session?socket={daemon.socket}"
    assert daemon.log_directory.is_relative_to(workspace.cache)
