"""A command in a guest: its result, its output, and what a lost connection means."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest

from harness.errors import UsageError
from harness.execution.program import STDERR, STDOUT, Program, ProgramPlan
from harness.execution.result import SKIP, ProgramResult
from harness.guest.contact import Contact
from harness.guest.serialtap import Tap
from harness.host.clock import Clock, ManualClock
from harness.host.loglimits import USUAL_LIMITS, LogLimits
from harness.host.progress import Recorded
from harness.outcome import Ending
from harness.shell.shell import (
    Completed,
    OutputSink,
    Shell,
    ShellError,
    ShellLostError,
    ShellRefusedError,
    ShellTimeoutError,
)


@dataclass
class ScriptedShell:
    """A shell that does what it is told; see ``Shell``.

    Args:
        status: exit status of the command.
        stdout: its output.
        raises: what happens instead.
        waits: whether the command runs until the shell is closed.
    """

    status: int | None = 0
    signal: str = ""
    stdout: tuple[bytes, ...] = ()
    stderr: tuple[bytes, ...] = ()
    raises: ShellError | None = None
    waits: bool = False
    done: list[str] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)

    def connect(self) -> None:
        self.done.append("connect")

    def run(
        self, command: str, *, timeout: float | None = None, stdin: bytes = b"",
        sink: OutputSink | None = None,
    ) -> Completed:  # fmt: skip
        self.done.append(command)
        assert sink is not None
        assert not stdin
        for data in self.stdout:
            sink.stdout(data)
        for data in self.stderr:
            sink.stderr(data)
        if self.waits:
            self.closed.wait()
            raise ShellLostError("the connection was closed")
        if self.raises is not None:
            raise self.raises
        return Completed(self.status, self.signal)

    def put(self, source: Path, target: PurePosixPath) -> None:
        self.done.append(f"put {source.read_text()} {target}")

    def get(self, source: PurePosixPath, target: Path) -> None:
        self.done.append(f"get {source}")
        target.write_text("fetched")

    def close(self) -> None:
        self.closed.set()


def ran(
    shell: Shell, plan: ProgramPlan, directory: Path, logs: LogLimits = USUAL_LIMITS
) -> ProgramResult:
    program = Program(plan, logs)
    work(program.into(directory), lambda _: shell)
    return program.result


class NoPort(Tap):
    """A serial port at which nothing answers."""

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        return None

    def write(self, data: bytes) -> None:
        raise AssertionError(data)


def work(
    program: Program, shell: Callable[[Clock], Shell], *, console_answers: bool = False
) -> None:
    contact = Contact(NoPort(), shell, lambda _: console_answers)
    program.work(contact, None, Recorded(), ManualClock())  # type: ignore[arg-type]


def test_result_is_that_of_the_command(tmp_path: Path) -> None:
    result = ran(ScriptedShell(3), ProgramPlan("exit 3"), tmp_path)
    assert (result.status, result.is_good, result.is_bad) == (3, False, True)
    assert result.words == "exit status 3"


def test_status_125_says_nothing_of_the_kernel(tmp_path: Path) -> None:
    result = ran(ScriptedShell(SKIP), ProgramPlan("exit 125"), tmp_path)
    assert not result.is_good
    assert not result.is_bad


def test_signal_is_named(tmp_path: Path) -> None:
    result = ran(ScriptedShell(None, "KILL"), ProgramPlan("x"), tmp_path)
    assert result.words == "signal KILL"
    assert result.is_bad


def test_output_is_kept_in_the_cells_directory_and_counted(tmp_path: Path) -> None:
    shell = ScriptedShell(stdout=(b"one\n", b"two\xff\n"), stderr=(b"bad\n",))
    result = ran(shell, ProgramPlan("x"), tmp_path / "cell")
    assert (tmp_path / "cell" / STDOUT).read_bytes() == b"one\ntwo\xff\n"
    assert (tmp_path / "cell" / STDERR).read_bytes() == b"bad\n"
    assert (result.stdout, result.stderr) == (9, 4)


def test_output_of_a_command_that_did_not_end_is_counted_too(tmp_path: Path) -> None:
    shell = ScriptedShell(stdout=(b"one\n",), stderr=(b"bad\n",), raises=ShellLostError("lost"))
    result = ran(shell, ProgramPlan("x"), tmp_path)
    assert (result.stdout, result.stderr, result.status) == (4, 4, None)


def test_output_is_shown_while_the_command_runs(tmp_path: Path) -> None:
    shown: list[bytes] = []
    program = Program(ProgramPlan("x"), USUAL_LIMITS, OutputSink(shown.append, shown.append))
    work(program.into(tmp_path), lambda _: ScriptedShell(stdout=(b"one\n",), stderr=(b"two\n",)))
    assert shown == [b"one\n", b"two\n"]


def test_endless_output_ends_the_command_and_fills_no_disk(tmp_path: Path) -> None:
    shell = ScriptedShell(stdout=(b"x" * 100,) * 30)
    result = ran(shell, ProgramPlan("yes"), tmp_path, LogLimits(keep=250, end=1000))
    assert (tmp_path / STDOUT).stat().st_size == 250
    assert "printed more than" in result.unfinished
    assert not result.is_good


def test_files_are_copied_before_and_after_the_command(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("text")
    shell = ScriptedShell(1)
    plan = ProgramPlan(
        "run", put=((source, PurePosixPath("/tmp/a")),), get=((PurePosixPath("/tmp/b"), target),)
    )
    assert ran(shell, plan, tmp_path / "cell").status == 1
    assert shell.done == ["connect", "put text /tmp/a", "run", "get /tmp/b"]
    assert target.read_text() == "fetched"


def test_file_that_cannot_be_read_is_named_with_its_option(tmp_path: Path) -> None:
    plan = ProgramPlan("run", put=((tmp_path / "missing", PurePosixPath("/tmp/a")),))
    with pytest.raises(UsageError, match=r"--put: .*missing: No such file"):
        ran(ScriptedShell(), plan, tmp_path)


def test_login_that_is_refused_has_a_reason_and_no_status(tmp_path: Path) -> None:
    shell = ScriptedShell(raises=ShellRefusedError("the key was refused"))
    result = ran(shell, ProgramPlan("x"), tmp_path)
    assert result.unfinished == "the key was refused"
    assert result.status is None
    assert result.alive


@pytest.mark.parametrize("console_answers", [True, False])
@pytest.mark.parametrize("kind", [ShellLostError, ShellTimeoutError])
def test_guest_that_does_not_answer_hangs_only_if_its_console_is_silent_too(
    tmp_path: Path, kind: type[ShellError], *, console_answers: bool
) -> None:
    program = Program(ProgramPlan("x"), USUAL_LIMITS).into(tmp_path)
    shell = ScriptedShell(raises=kind("the connection was lost"))
    work(program, lambda _: shell, console_answers=console_answers)
    assert program.result.alive is console_answers
    assert (program.silence is None) is console_answers
    assert program.result.unfinished.startswith("the connection was lost")


def test_end_that_the_console_tells_is_no_hang(tmp_path: Path) -> None:
    program = Program(ProgramPlan("x"), USUAL_LIMITS).into(tmp_path)

    def lost(clock: Clock) -> Shell:
        del clock
        program.stop()  # as whoever listens does at the guest's end
        raise ShellLostError("lost")

    work(program, lost)
    assert program.silence is None


def test_stop_ends_a_running_command(tmp_path: Path) -> None:
    program = Program(ProgramPlan("sleep 1000"), USUAL_LIMITS).into(tmp_path)
    shell = ScriptedShell(waits=True)
    thread = threading.Thread(target=work, args=(program, lambda _: shell))
    thread.start()
    while "sleep 1000" not in shell.done:
        threading.Event().wait(0.001)
    program.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert program.result.status is None


def test_command_of_a_guest_that_did_not_come_up_was_not_run() -> None:
    result = Program(ProgramPlan("x"), USUAL_LIMITS).result
    assert result.words == "the guest did not come up"
    assert not result.is_good
    assert not result.is_bad


def test_repeat_of_a_boot_runs_the_same_command_with_a_longer_limit() -> None:
    again = Program(ProgramPlan("x", timeout=2.0), USUAL_LIMITS).again(3.0)
    assert (again.plan.command, again.plan.timeout) == ("x", 6.0)


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Ending.RESET, "the guest was reset while it ran"),
        (Ending.EXITED, "the guest powered off while it ran"),
        (Ending.STOPPED, "it closed the connection"),
    ],
)
def test_a_guest_that_ended_is_why_its_command_did_not_end(ending: Ending, words: str) -> None:
    lost = ProgramResult("reboot", unfinished="it closed the connection", seconds=1.0)
    assert lost.explained(ending).words == words
    assert lost.explained(ending, failed=True).words == "the kernel failed while it ran"
    assert ProgramResult("true", 0, seconds=1.0).explained(ending).words == "exit status 0"
    not_run = ProgramResult("true", unfinished="the guest did not come up")
    assert not_run.explained(ending, failed=True) == not_run
