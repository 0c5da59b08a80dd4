"""Commands over SSH, on a real OpenSSH server on the loopback address."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from leaks import nothing_leaked
from ssh_server import SECONDS, SshServer, ssh_server

from harness.errors import UsageError
from harness.host.clock import HostClock, ManualClock
from harness.shell.shell import (
    OutputSink,
    ShellLostError,
    ShellRefusedError,
    ShellTimeoutError,
)
from harness.shell.ssh.command import KEPT_BYTES, KeptOutput, MarkedOutput, sh_command
from harness.shell.ssh.shell import SshShell

MIB = 1 << 20


class PushedClock(ManualClock):
    """A clock that goes on by ``step`` seconds at each look."""

    step = 0.0

    def monotonic(self) -> float:
        self.sleep(self.step)
        return super().monotonic()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with nothing_leaked(), ssh_server(tmp_path_factory.mktemp("sshd")) as one:
        yield one


@pytest.fixture(scope="module")
def shell(server: SshServer) -> SshShell:
    return server.connected()


@pytest.fixture
def clock() -> PushedClock:
    return PushedClock()


@pytest.fixture
def timed(server: SshServer, clock: PushedClock) -> SshShell:
    return server.connected(clock)


def test_first_command_runs_after_the_login_and_must_succeed(
    server: SshServer, tmp_path: Path
) -> None:
    for status, first in ((0, f"echo x >>{tmp_path}/first"), (1, "echo no disk >&2; exit 3")):
        shell = SshShell(server.address, HostClock(), first=first)
        with contextlib.closing(shell):
            if status == 0:
                shell.connect()
                continue
            with pytest.raises(ShellRefusedError, match="no disk"):
                shell.connect()
    assert (tmp_path / "first").read_text() == "x\n"


def test_both_outputs_and_the_exit_status_come_back(shell: SshShell) -> None:
    done = shell.run("echo out; echo err >&2; exit 3")
    assert (done.status, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    assert not done.succeeded
    assert shell.run("true").succeeded


def test_a_signal_that_ended_a_command_is_named(shell: SshShell) -> None:
    done = shell.run("kill -SEGV $$")
    assert (done.status, done.signal) == (None, "SEGV")


def test_one_connection_serves_all_commands(server: SshServer, shell: SshShell) -> None:
    ports = {shell.run("echo $SSH_CONNECTION").stdout for _ in range(20)}
    assert len(ports) == 1


def test_a_command_that_reads_gets_all_input_and_then_its_end(shell: SshShell) -> None:
    data = bytes(range(256)) * 20_000
    assert shell.run("cksum", stdin=data).stdout == _cksum(data)
    assert shell.run("cat").stdout == b""


def _cksum(data: bytes) -> bytes:
    return subprocess.run(["cksum"], input=data, check=True, capture_output=True).stdout


def test_input_that_nobody_reads_does_not_keep_a_command(shell: SshShell) -> None:
    done = shell.run("exec <&-; echo done", stdin=bytes(8 * MIB))
    assert done.stdout == b"done\n"


def test_a_command_that_answers_while_it_reads_does_not_block(shell: SshShell) -> None:
    data = bytes(8 * MIB)
    received = []
    shell.run("cat", stdin=data, sink=OutputSink(lambda piece: received.append(len(piece))))
    assert sum(received) == len(data)


def test_output_goes_to_the_sink_while_the_command_runs(shell: SshShell, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    pieces: list[bytes] = []

    def take(data: bytes) -> None:
        pieces.append(data)
        go_on.touch()

    done = shell.run(
        f"echo first; while [ ! -e {go_on} ]; do sleep 0.01; done; echo second",
        sink=OutputSink(take),
    )
    assert b"".join(pieces) == b"first\nsecond\n"
    assert (done.stdout, done.dropped) == (b"", 0)


def test_a_command_that_prints_much_takes_no_memory(shell: SshShell) -> None:
    shell.run("head -c 1000000 /dev/zero")  # what is made once is made
    size = 48 * MIB
    tracemalloc.start()
    try:
        done = shell.run(f"head -c {size} /dev/zero; echo end")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(done.stdout) == KEPT_BYTES
    assert done.dropped == size + len(b"end\n") - KEPT_BYTES
    assert done.stdout.endswith(b"\0end\n")
    assert peak < 16 * MIB


def test_a_sink_that_raises_ends_the_command_and_not_the_connection(shell: SshShell) -> None:
    class FullError(Exception):
        pass

    def full(data: bytes) -> None:
        raise FullError

    with pytest.raises(FullError):
        shell.run("yes", sink=OutputSink(full))
    assert shell.run("echo more").stdout == b"more\n"


def test_a_command_that_closes_its_output_is_waited_for(shell: SshShell) -> None:
    assert shell.run("exec >&- 2>&-; sleep 0.2; exit 4").status == 4


def test_a_child_left_behind_does_not_keep_the_command(timed: SshShell, clock: PushedClock) -> None:
    clock.step = 0.1
    done = timed.run("sleep 1000 & echo $!")
    assert done.succeeded
    psutil.Process(int(done.stdout)).kill()


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "])
def test_a_command_that_does_not_end_is_killed_with_its_children(
    timed: SshShell, clock: PushedClock, trap: str
) -> None:
    processes: list[psutil.Process] = []

    def take(data: bytes) -> None:
        processes.append(psutil.Process(int(data)))
        processes.extend(processes[0].children())
        clock.step = 0.1

    with pytest.raises(ShellTimeoutError, match="did not end within 5 s"):
        timed.run(f"{trap}(sleep 1000) & echo $$; wait", timeout=5, sink=OutputSink(take))
    assert len(processes) == 2
    assert not psutil.wait_procs(processes, SECONDS)[1]
    assert timed.run("echo still there").stdout == b"still there\n"


def test_time_in_which_the_guest_did_not_run_does_not_count(
    timed: SshShell, clock: PushedClock
) -> None:
    assert timed.run("sleep 0.3; echo done", timeout=0.001).stdout == b"done\n"
    assert clock.monotonic() == 0


def test_closing_interrupts_a_command(server: SshServer) -> None:
    shell = server.connected()
    closer = threading.Thread(target=shell.close)
    with pytest.raises(ShellLostError, match="was closed"):
        shell.run("echo begun; sleep 1000", sink=OutputSink(lambda _: closer.start()))
    closer.join()
    shell.close()
    with pytest.raises(ShellLostError, match="was closed"):
        shell.run("true")


def test_a_server_that_is_killed_is_a_lost_connection(tmp_path: Path) -> None:
    with nothing_leaked(), ssh_server(tmp_path) as server:
        shell = server.connected()
        with pytest.raises(ShellLostError, match="closed the connection"):
            shell.run(
                "echo begun; sleep 1000",
                sink=OutputSink(lambda _: server.signal_all(signal.SIGKILL)),
            )
        with pytest.raises(ShellLostError):
            shell.run("true")
        with pytest.raises(ShellLostError, match="has no server"):
            server.connected()


def test_a_frozen_server_is_a_lost_connection(tmp_path: Path, clock: PushedClock) -> None:
    with nothing_leaked(), ssh_server(tmp_path) as server:
        shell = server.connected(clock)

        def freeze(data: bytes) -> None:
            server.signal_all(signal.SIGSTOP)
            clock.step = 5

        with pytest.raises(ShellLostError, match="did not answer within 60 s"):
            shell.run("echo begun; sleep 1000", sink=OutputSink(freeze))


def test_closing_interrupts_what_waits_for_a_frozen_server(tmp_path: Path) -> None:
    with nothing_leaked(), ssh_server(tmp_path) as server:
        shell = server.connected()
        server.signal_all(signal.SIGSTOP)
        timer = threading.Timer(0.2, shell.close)
        timer.start()
        with pytest.raises(ShellLostError, match="was closed"):
            shell.run("true")
        timer.join()


def test_a_session_that_ends_without_a_status_is_lost(server: SshServer, shell: SshShell) -> None:
    with pytest.raises(ShellLostError, match=r"without an exit status|closed the connection"):
        server.connected().run("kill -KILL $PPID; sleep 1000")
    assert shell.run("true").succeeded


def test_a_command_that_ends_the_server_and_its_own_session_is_a_lost_connection(
    tmp_path: Path,
) -> None:
    with nothing_leaked(), ssh_server(tmp_path) as server:
        shell = server.connected()
        with pytest.raises(ShellLostError, match=r"without an exit status|closed the connection"):
            shell.run(f"kill {server.pid}; kill $PPID; sleep 1000")
        with pytest.raises(ShellLostError, match="has no server"):
            server.connected()


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40))
def test_any_text_comes_to_sh_as_it_is(text: str) -> None:
    line = sh_command(f"printf %s {shlex.quote(text)}")
    assert "\n" not in line
    assert "!" not in line
    done = subprocess.run(["sh", "-c", line], check=True, capture_output=True)
    assert done.stdout == text.encode()


def test_a_nul_character_is_refused() -> None:
    with pytest.raises(UsageError, match="NUL"):
        sh_command("echo \0")


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(1, 20))
def test_the_mark_is_taken_out_wherever_the_output_is_cut(
    before: bytes, after: bytes, cut: int
) -> None:
    marked = MarkedOutput("MARK")
    lines = before + b"\n" + b"MARK 123\n" + after
    pieces = [marked.take(lines[i : i + cut]) for i in range(0, len(lines), cut)]
    pieces += [data for _, data in marked.rest()]
    assert b"".join(pieces) == before + b"\n" + after
    assert marked.group == 123


@given(st.lists(st.binary(max_size=30), max_size=30), st.integers(1, 10))
def test_kept_output_is_the_first_and_the_last_of_it(pieces: list[bytes], half: int) -> None:
    kept = KeptOutput(2 * half)
    for piece in pieces:
        kept.add(piece)
    whole = b"".join(pieces)
    if len(whole) <= 2 * half:
        assert (kept.content, kept.dropped) == (whole, 0)
    else:
        assert kept.content == whole[:half] + whole[-half:]
        assert kept.dropped == len(whole) - 2 * half
