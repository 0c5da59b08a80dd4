"""Subprocesses: argument lists without a shell, a minimal environment, a session for each."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from harness.errors import InfraError
from harness.host.guarded import (
    HostLastProgram,
    HostProcess,
    Launch,
    Stream,
    closed_environment,
)
from harness.host.programs import require_program
from harness.host.sessionguard import session_guard


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that has ended."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output, with bytes that are not UTF-8 replaced."""
        return self.stdout.decode("utf-8", "replace")


class Process(Protocol):
    """A process that may still run, with its descendants."""

    @property
    def pid(self) -> int:
        """The process ID, which is also the ID of its group and session."""
        ...

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit status, or None if it still runs after ``timeout`` seconds."""
        ...

    def kill(self) -> None:
        """Kill it and its descendants, and wait for it; do nothing if it has ended.

        Raises:
            InfraError: SIGKILL does not end it.
        """
        ...


class Runner(Protocol):
    """Starts programs."""

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        deadline: float | None = None,
        check: bool = True,
    ) -> Finished:
        """Run a program until it ends.

        Args:
            argv: the program and its arguments, which no shell interprets.
            cwd: the working directory.
            env: variables in addition to the minimal environment.
            stdin: data for its standard input.
            deadline: seconds after which it is killed with its descendants.
            check: raise if its exit status is not 0.

        Raises:
            InfraError: the program is missing, took too long, or (``check``) failed.
        """
        ...

    def spawn(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdout: Stream = subprocess.DEVNULL,
        stderr: Stream = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
        outlives_us: bool = False,
        duplex: bool = False,
    ) -> Process:
        """Start a program and return at once.

        Unless ``outlives_us``, it is killed when this process ends.

        With ``duplex``, ``stdout`` is a socket, and standard input, too.

        Raises:
            InfraError: the program is missing.
        """
        ...

    def prepare(
        self,
        argv: Sequence[str | Path],
        *,
        deadline: float,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stderr: Stream = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> LastProgram:
        """Return a program that runs once, at the latest when this process ends, even by SIGKILL.

        Neither ``close`` nor a signal to this process prevents it.

        Args:
            argv: the program and its arguments.
            deadline: timeout in seconds, after which it is killed.
            cwd: the directory to run in.
            env: added to the closed environment.
            stderr: its standard error.
            pass_fds: descriptors that it inherits.

        Raises:
            InfraError: the program is missing.
        """
        ...

    def run_in_foreground(self, argv: Sequence[str | Path]) -> int:
        """Run a program at the user's terminal; return its exit status.

        Raises:
            InfraError: the program is missing.
        """
        ...

    def close(self) -> None:
        """Kill all processes that do not outlive this one, and start no more.

        Threads that wait for one of them get its exit status.
        """
        ...


class LastProgram(Protocol):
    """A program that runs when this process ends, or before; see ``Runner.prepare``."""

    def run(self) -> int:
        """Run it now, unless it has run; return its exit status, as timeout(1) defines it."""
        ...


class HostRunner:
    """Starts programs on this host."""

    def __init__(self) -> None:
        self._running: set[HostProcess] = set()
        self._closed = False
        # A signal handler may call close() while the main thread holds the lock.
        self._lock = threading.RLock()

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        deadline: float | None = None,
        check: bool = True,
    ) -> Finished:
        """Run a program until it ends."""
        words = _resolve(argv)
        pipes = (subprocess.PIPE, subprocess.PIPE)
        process = self._launch(Launch(words, cwd, env or {}, pipes, keeps_stdin=True))
        try:
            stdout, stderr, status = process.communicate(stdin, deadline)
        except subprocess.TimeoutExpired:
            raise InfraError(
                f"{words[0]} did not end within {deadline:g} s",
                remedy=f"run it by hand: {shlex.join(words)}",
            ) from None
        finally:
            process.kill()
        finished = Finished(tuple(words), status, stdout, stderr)
        if check and finished.returncode != 0:
            raise failure(finished)
        return finished

    def spawn(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdout: Stream = subprocess.DEVNULL,
        stderr: Stream = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
        outlives_us: bool = False,
        duplex: bool = False,
    ) -> HostProcess:
        """Start a program and return at once."""
        launch = Launch(
            _resolve(argv), cwd, env or {}, (stdout, stderr), tuple(pass_fds),
            duplex=duplex, guarded=not outlives_us,
        )  # fmt: skip
        process = self._launch(launch)
        process.begin()
        return process

    def prepare(
        self,
        argv: Sequence[str | Path],
        *,
        deadline: float,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stderr: Stream = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> HostLastProgram:
        """See ``Runner``."""
        return HostLastProgram.prepared(
            _resolve(argv), deadline, cwd=cwd, env=env or {}, stderr=stderr, pass_fds=pass_fds
        )

    def run_in_foreground(self, argv: Sequence[str | Path]) -> int:
        """See ``Runner``."""
        from harness.host.foreground import run_in_foreground

        return run_in_foreground(_resolve(argv), closed_environment())

    def close(self) -> None:
        """Kill all guarded processes, and start no more."""
        with self._lock:
            self._closed = True
            for process in tuple(self._running):
                process.kill_soon()

    def _launch(self, launch: Launch) -> HostProcess:
        with self._lock:
            if self._closed:
                raise InfraError(f"{launch.words[0]} was not started: the harness is shutting down")
            process = launch.process()
            self._running = {one for one in self._running if not one.has_ended}
            if launch.guarded:
                self._running.add(process)
            return process


def become(argv: Sequence[str]) -> NoReturn:
    """Replace this process by a program, which then has the terminal and its signals for itself.

    Raises:
        InfraError: the program is not installed.
    """
    words = _resolve(argv)
    session_guard().stop()
    signal.setitimer(signal.ITIMER_REAL, 0.0)  # which the program would inherit
    os.execv(words[0], words)  # noqa: S606 - without a shell


def failure(finished: Finished) -> InfraError:
    """Return the error for a program that failed, with the last lines of its output."""
    tail = (finished.stderr or finished.stdout).decode("utf-8", "replace").splitlines()[-20:]
    return InfraError(
        f"{Path(finished.argv[0]).name} failed with exit status {finished.returncode}",
        remedy=f"run it by hand: {shlex.join(finished.argv)}",
        detail="\n".join(tail),
    )


def _resolve(argv: Sequence[str | Path]) -> list[str]:
    program, *words = (str(word) for word in argv)
    return [require_program(program), *words]
