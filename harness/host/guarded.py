"""Processes whose session ends when the harness ends, even by SIGKILL."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.host.programs import require_program
from harness.host.sessionguard import session_guard
from harness.host.sessions import KILL_SECONDS, signal_session, unkillable

#: A descriptor, a file, or a constant of ``subprocess``.
Stream = int | IO[bytes] | None

#: Variables that a child inherits; others must be passed explicitly.
_INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TERM", "USER", "LOGNAME")

_SH = "/bin/sh"

#: Waits for a line, which is written when the guard holds the session, and executes the program. If
#: this process is killed before, read(1) fails.
_GATE = 'read -r _ || exit; unset PWD OLDPWD SHLVL; exec "$@"'
_OPEN = b"\n"

#: Executes the program when its standard input is closed, by this process or by its end.
_LAST = 'read -r _; exec "$@" </dev/null'

#: Seconds from SIGTERM to SIGKILL after the timeout.
_LAST_GRACE = 5


class HostLastProgram:
    """A program on this host; see ``LastProgram``."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen

    @classmethod
    def prepared(
        cls,
        words: Sequence[str],
        deadline: float,
        *,
        cwd: Path | None,
        env: Mapping[str, str],
        stderr: Stream,
        pass_fds: Sequence[int],
    ) -> HostLastProgram:
        """Return a program that waits; see ``Runner.prepare``."""
        timeout = (require_program("timeout"), f"--kill-after={_LAST_GRACE}", f"{deadline:g}")
        popen = subprocess.Popen(
            [_SH, "-c", _LAST, "sh", *timeout, *words],
            cwd=cwd,
            env={**closed_environment(), **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
        )
        return cls(popen)

    def run(self) -> int:
        """See ``LastProgram``."""
        if self._popen.stdin is not None:
            self._popen.stdin.close()  # as the end of this process would
        status = self._popen.wait()  # timeout(1) enforces the deadline
        _kill_session(self._popen)
        return status


class HostProcess:
    """A process on this host.

    Args:
        popen: the process, which leads a session.
        guarded: whether the guard holds the session.
    """

    def __init__(self, popen: subprocess.Popen[bytes], *, guarded: bool) -> None:
        self._popen = popen
        self._guarded = guarded

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
        guarded, self._guarded = self._guarded, False
        if guarded:
            session_guard().release(self.pid)

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
        """Kill the rest of a guarded session if the process ended; return its status."""
        if status is not None and self._guarded:
            self.kill()
        return status


@dataclass(frozen=True, slots=True)
class Launch:
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
        """Start the process, whose session the guard holds.

        The program itself starts only when ``_OPEN`` is written, so that an interrupt in between
        leaves no process: its shell ends with the pipe.
        """
        stdin = "" if self.keeps_stdin else " <&1" if self.duplex else " </dev/null"
        gate = [_SH, "-c", f"{_GATE}{stdin}", "sh"]
        popen = subprocess.Popen(
            [*gate, *self.words] if self.guarded else self.words,
            cwd=self.cwd,
            env={**closed_environment(), **self.env},
            stdin=subprocess.PIPE if self.guarded else self._own_stdin(),
            stdout=self.streams[0],
            stderr=self.streams[1],
            pass_fds=self.pass_fds,
            start_new_session=True,
        )
        if self.guarded:
            session_guard().hold(popen.pid)
        return HostProcess(popen, guarded=self.guarded)

    def _own_stdin(self) -> Stream:
        return self.streams[0] if self.duplex else subprocess.DEVNULL


def closed_environment() -> dict[str, str]:
    """Return the variables that every child inherits."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


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
