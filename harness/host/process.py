"""Subprocesses: argument lists without a shell, a minimal environment, a session for each."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from harness.errors import InfraError
from harness.host.programs import require_program
from harness.host.sessions import KILL_SECONDS, signal_session, unkillable

#: Variables that a child inherits; others must be passed explicitly.
_INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TERM", "USER", "LOGNAME")

Stream = int | IO[bytes] | None


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


class HostLastProgram:
    """A program on this host; see ``LastProgram``."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen

    def run(self) -> int:
        """See ``LastProgram``."""
        if self._popen.stdin is not None:
            self._popen.stdin.close()  # as the end of this process would
        status = self._popen.wait()  # timeout(1) enforces the deadline
        _kill_session(self._popen)
        return status


class HostProcess:
    """A process on this host, with its guard."""

    def __init__(
        self, popen: subprocess.Popen[bytes], guard: subprocess.Popen[bytes] | None
    ) -> None:
        self._popen = popen
        self._guard = guard

    @property
    def pid(self) -> int:
        """The process ID."""
        return self._popen.pid

    @property
    def has_ended(self) -> bool:
        """Whether its exit status was collected."""
        return self._popen.returncode is not None

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self._ended(self._popen.poll())

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit status, or None after ``timeout`` seconds."""
        try:
            return self._ended(self._popen.wait(timeout))
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """Kill its session and wait for it."""
        _kill_session(self._popen)
        self._ended(self._popen.returncode)

    def begin(self) -> None:
        """Start the program with empty standard input."""
        if self._popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError), self._popen.stdin as gate:
                gate.write(_OPEN)
            self._popen.stdin = None

    def kill_soon(self) -> None:
        """Kill it without waiting; for a thread other than the one that waits for it."""
        if not self.has_ended:
            signal_session(self._popen.pid)

    def communicate(self, stdin: bytes, deadline: float | None) -> tuple[bytes, bytes, int]:
        """Write its input; return standard output, standard error and exit status at its end.

        Raises:
            subprocess.TimeoutExpired: it did not end within ``deadline`` seconds.
        """
        stdout, stderr = self._popen.communicate(_OPEN + stdin, timeout=deadline)
        return stdout, stderr, self._popen.returncode

    def _ended(self, status: int | None) -> int | None:
        """Kill the rest of the session and the guard if the process ended; return its status."""
        if status is not None and self._guard is not None:
            _kill_session(self._popen)
            _kill_guard(self._guard)
            self._guard = None
        return status


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
        process = self._launch(_Launch(words, cwd, env or {}, pipes, keeps_stdin=True))
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
        launch = _Launch(
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
        timeout = _resolve(["timeout", f"--kill-after={_LAST_GRACE}", f"{deadline:g}"])
        popen = subprocess.Popen(
            [_SH, "-c", _LAST, "sh", *timeout, *_resolve(argv)],
            cwd=cwd,
            env={**_closed_environment(), **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
        )
        return HostLastProgram(popen)

    def close(self) -> None:
        """Kill all guarded processes, and start no more."""
        with self._lock:
            self._closed = True
            for process in tuple(self._running):
                process.kill_soon()

    def _launch(self, launch: _Launch) -> HostProcess:
        with self._lock:
            if self._closed:
                raise InfraError(f"{launch.words[0]} was not started: the harness is shutting down")
            process = launch.process()
            self._running = {one for one in self._running if not one.has_ended}
            if launch.guarded:
                self._running.add(process)
            return process


@dataclass(frozen=True, slots=True)
class _Launch:
    """The arguments of a process to start."""

    words: list[str]
    cwd: Path | None
    env: Mapping[str, str]
    streams: tuple[Stream, Stream]
    pass_fds: tuple[int, ...] = ()
    keeps_stdin: bool = False
    duplex: bool = False
    guarded: bool = True

    def process(self) -> HostProcess:
        """Start the process and its guard.

        The program itself starts only when ``_OPEN`` is written, so that an interrupt in between
        leaves no process: its shell ends with the pipe.
        """
        closed = _closed_environment()
        stdin = "" if self.keeps_stdin else " <&1" if self.duplex else " </dev/null"
        gate = [_SH, "-c", f"{_GATE}{stdin}", "sh"]
        popen = subprocess.Popen(
            [*gate, *self.words] if self.guarded else self.words,
            cwd=self.cwd,
            env={**closed, **self.env},
            stdin=subprocess.PIPE if self.guarded else self._own_stdin(),
            stdout=self.streams[0],
            stderr=self.streams[1],
            pass_fds=self.pass_fds,
            start_new_session=True,
        )
        return HostProcess(popen, _guard(popen.pid, closed) if self.guarded else None)

    def _own_stdin(self) -> Stream:
        return self.streams[0] if self.duplex else subprocess.DEVNULL


def _closed_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


_SH = "/bin/sh"

#: Waits for a line, which is written after the guard was started, and executes the program. If this
#: process is killed before, read(1) fails.
_GATE = 'read -r _ || exit; unset PWD OLDPWD SHLVL; exec "$@"'
_OPEN = b"\n"

#: Waits until this process ends, even by SIGKILL, which closes the pipe, and kills the session,
#: which includes the child's descendants.
_GUARD = 'read -r _; kill -s KILL -- "-$1"; exec pkill -KILL -s "$1"'


#: Executes the program when its standard input is closed, by this process or by its end.
_LAST = 'read -r _; exec "$@" </dev/null'

#: Seconds from SIGTERM to SIGKILL after the timeout.
_LAST_GRACE = 5


def _guard(session: int, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [_SH, "-c", _GUARD, "sh", str(session)],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


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


def _kill_session(popen: subprocess.Popen[bytes]) -> None:
    """Kill the processes of a session, whose leader may have ended already."""
    try:
        signal_session(popen.pid)
    finally:
        try:
            popen.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise unkillable(popen.pid) from error
        for stream in (popen.stdin, popen.stdout, popen.stderr):
            if stream is not None:
                stream.close()


def _kill_guard(guard: subprocess.Popen[bytes]) -> None:
    """Kill the guard before its pipe is closed, so that it does not kill the session."""
    guard.kill()
    guard.wait()
    if guard.stdin is not None:
        guard.stdin.close()
