"""Runs one command in a guest that has booted, with copies of files before and after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from harness.errors import UsageError
from harness.execution.result import ProgramResult
from harness.guest.contact import HeldShell
from harness.host.loglimits import LimitedLog, LogLimits
from harness.host.workspace import make_directory
from harness.shell.shell import (
    OutputSink,
    Shell,
    ShellError,
    ShellLostError,
    ShellTimeoutError,
)

if TYPE_CHECKING:
    from harness.console.report import GuestReport
    from harness.guest.contact import Contact
    from harness.host.clock import Clock
    from harness.host.progress import Progress

STDOUT: Final = "stdout.log"
STDERR: Final = "stderr.log"
"""Files of the command's output in the cell's directory."""


@dataclass(frozen=True, slots=True)
class ProgramPlan:
    """A command to run.

    Args:
        command: a command line of sh(1).
        put: files and directories that are copied into the guest before, with their targets.
        get: the same from the guest afterwards, whatever the command's status.
        timeout: most seconds in which the guest could run; None: no limit.
    """

    command: str
    put: tuple[tuple[Path, PurePosixPath], ...] = ()
    get: tuple[tuple[PurePosixPath, Path], ...] = ()
    timeout: float | None = None


@dataclass(slots=True)
class Program:
    """A client of a guest (``harness.boot.guestclient``) that runs a command.

    Args:
        plan: the command.
        logs: limits of the files with its output.
        echo: receives its output, too, while it runs.
        result: the result; before the guest is up, that the command was not run.
    """

    plan: ProgramPlan
    logs: LogLimits
    echo: OutputSink = field(default_factory=OutputSink)
    result: ProgramResult = field(init=False)
    _directory: Path | None = None
    _held: HeldShell = field(default_factory=HeldShell)

    def __post_init__(self) -> None:
        self.result = ProgramResult(self.plan.command, unfinished="the guest did not come up")

    @property
    def module(self) -> str:
        """See ``GuestClient``: it needs no check module."""
        return ""

    @property
    def tunables(self) -> Mapping[str, str]:
        """See ``GuestClient``: it needs none."""
        return {}

    @property
    def silence(self) -> tuple[str, str] | None:
        """Title and message if the guest stopped answering; None if it did not."""
        return None if self.result.alive else ("silent during a command", self.result.unfinished)

    def again(self, slower: float = 1.0) -> Program:
        """Return the same program for another boot, which shows no output."""
        timeout = self.plan.timeout
        plan = replace(self.plan, timeout=None if timeout is None else timeout * slower)
        return Program(plan, self.logs)

    def into(self, directory: Path) -> Program:
        """Keep the output in ``directory``."""
        self._directory = directory
        return self

    def stop(self) -> None:
        """End the command, and the work."""
        self._held.stop()

    def work(self, contact: Contact, report: GuestReport, progress: Progress, time: Clock) -> None:
        """Run the command; see ``GuestClient``."""
        del report
        progress.stage("connecting")
        began = time.monotonic()
        try:
            with self._held.connected(contact, time) as shell:
                self._run(shell, progress)
        except (ShellLostError, ShellTimeoutError) as error:
            alive = self._held.is_told() or self._held.lives(contact, time)
            answers = alive and not self._held.stopped.is_set()
            cause = f"{error}; the guest's console answers" if answers else str(error)
            self.result = replace(self.result, unfinished=cause, alive=alive)
        except ShellError as error:
            self.result = replace(self.result, unfinished=str(error))
        self.result = replace(self.result, seconds=time.monotonic() - began)

    def _run(self, shell: Shell, progress: Progress) -> None:
        for source, target in self.plan.put:
            progress.stage("copying")
            with _named("--put", source):
                shell.put(source, target)
        progress.stage("command")
        with self._sink() as (sink, counts):
            try:
                finished = shell.run(self.plan.command, timeout=self.plan.timeout, sink=sink)
            finally:
                stdout, stderr = counts()
                self.result = replace(self.result, stdout=stdout, stderr=stderr)
        self.result = ProgramResult(
            self.plan.command, finished.status, finished.signal, stdout=stdout, stderr=stderr
        )
        for fetched, local in self.plan.get:
            progress.stage("copying")
            with _named("--get", local):
                shell.get(fetched, local)

    @contextmanager
    def _sink(self) -> Iterator[tuple[OutputSink, Callable[[], tuple[int, int]]]]:
        """Yield what receives the output, and what counts it."""
        if self._directory is None:
            raise ValueError("the program has no directory")
        make_directory(self._directory)
        with ExitStack() as files:
            out, err = (
                files.enter_context(_log(self._directory / name, self.logs))
                for name in (STDOUT, STDERR)
            )
            echo = self.echo

            def stdout(data: bytes) -> None:
                echo.stdout(data)
                _keep(out, data)

            def stderr(data: bytes) -> None:
                echo.stderr(data)
                _keep(err, data)

            yield OutputSink(stdout, stderr), lambda: (out.total, err.total)


def _keep(log: LimitedLog, data: bytes) -> None:
    log.write(data)
    if log.flooded:
        raise ShellError(f"it printed more than {log.total} bytes, and was ended")


@contextmanager
def _log(path: Path, limits: LogLimits) -> Iterator[LimitedLog]:
    with path.open("wb", buffering=0) as file:
        yield LimitedLog(file.write, path, limits)


@contextmanager
def _named(option: str, path: Path) -> Iterator[None]:
    """Name the option whose file cannot be read or written.

    Raises:
        UsageError: a file of the user's cannot be read or written.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{option}: {error.filename or path}: {error.strerror}",
            remedy="correct the path, or its permissions",
        ) from error
