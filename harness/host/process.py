"""The one door for subprocesses: argument lists, a closed environment, a session each."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from harness.arch import TABLE
from harness.errors import InfraError

#: What a child sees of our environment; everything else it needs is given by name.
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TERM", "USER", "LOGNAME")

#: The Debian package of each program that the harness starts, for the remedy of a missing one.
PACKAGES = {
    "git": "git",
    "bwrap": "bubblewrap",
    **{row.program: row.package for row in TABLE},
    "makefs": "makefs",
    "libvirtd": "libvirt-daemon-system",
    "virtlogd": "libvirt-daemon-system",
    "sh": "dash",
    "patch": "patch",
    "prlimit": "util-linux",
    "setpriv": "util-linux",
    "timeout": "coreutils",
}

#: How long a process that was sent SIGKILL may take to be gone.
KILL_SECONDS = 30.0

_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")

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
        """Standard output, bad bytes replaced."""
        return self.stdout.decode("utf-8", "replace")


class Process(Protocol):
    """A process that may still run, with all that it started."""

    @property
    def pid(self) -> int:
        """The process id, which is the id of its group and of its session too."""
        ...

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit status; None if it still runs after ``timeout`` seconds."""
        ...

    def kill(self) -> None:
        """End it and all that it started, and wait for it; no harm if it has ended.

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
        """Run to the end.

        Args:
            argv: the program and its arguments; no shell reads them.
            cwd: the folder to run in.
            env: added to the closed environment.
            stdin: given on standard input.
            deadline: seconds after which it is killed with all that it started.
            check: raise if the program fails.

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
        """Start and return at once.  Unless ``outlives_us``, it is killed when we die.

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
        """A program that is run once, later: at the latest when we die, however that happens.

        Neither ``close`` nor a signal to us keeps it from that.

        Args:
            argv: the program and its arguments.
            deadline: seconds that it may take; then it is killed.
            cwd: the directory to run in.
            env: added to the closed environment.
            stderr: where its errors go.
            pass_fds: descriptors that it inherits.

        Raises:
            InfraError: the program is missing.
        """
        ...

    def close(self) -> None:
        """End all that it has started and that does not outlive us, and start nothing more.

        Whoever waits for one of them sees it end.
        """
        ...


class LastProgram(Protocol):
    """A program that waits for its time; see ``Runner.prepare``."""

    def run(self) -> int:
        """Run it to its end, unless it has been run; its exit status, as timeout(1) has it."""
        ...


class HostLastProgram:
    """A real one; see ``LastProgram``."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen

    def run(self) -> int:
        """See ``LastProgram``."""
        if self._popen.stdin is not None:
            self._popen.stdin.close()  # which is what our death would do
        status = self._popen.wait()  # timeout(1) is its deadline
        _kill_session(self._popen)
        return status


class HostProcess:
    """A real process; see ``Process``."""

    def __init__(
        self, popen: subprocess.Popen[bytes], guard: subprocess.Popen[bytes] | None
    ) -> None:
        self._popen = popen
        self._guard = guard

    @property
    def pid(self) -> int:
        """See ``Process``."""
        return self._popen.pid

    @property
    def has_ended(self) -> bool:
        """Whether somebody has seen it end."""
        return self._popen.returncode is not None

    def poll(self) -> int | None:
        """See ``Process``."""
        return self._ended(self._popen.poll())

    def wait(self, timeout: float | None = None) -> int | None:
        """See ``Process``."""
        try:
            return self._ended(self._popen.wait(timeout))
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """See ``Process``."""
        _kill_session(self._popen)
        self._ended(self._popen.returncode)

    def begin(self) -> None:
        """Let it begin with nothing on its standard input."""
        if self._popen.stdin is not None:
            with contextlib.suppress(BrokenPipeError), self._popen.stdin as gate:
                gate.write(_OPEN)
            self._popen.stdin = None

    def kill_soon(self) -> None:
        """End it without waiting: for another thread, since the owner waits already."""
        if not self.has_ended:
            _signal_session(self._popen.pid)

    def communicate(self, stdin: bytes, deadline: float | None) -> tuple[bytes, bytes, int]:
        """Give it its input; its output, errors and exit status once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not within ``deadline`` seconds.
        """
        stdout, stderr = self._popen.communicate(_OPEN + stdin, timeout=deadline)
        return stdout, stderr, self._popen.returncode

    def _ended(self, status: int | None) -> int | None:
        """Let the guard go once there is nothing left to guard."""
        if status is not None and self._guard is not None:
            _kill_session(self._popen)
            _kill_guard(self._guard)
            self._guard = None
        return status


class HostRunner:
    """Starts programs on this machine; see ``Runner``."""

    def __init__(self) -> None:
        self._running: set[HostProcess] = set()
        self._closed = False
        # A signal's handler closes us in the middle of whatever the main thread does.
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
        """See ``Runner``."""
        words = _resolve(argv)
        pipes = (subprocess.PIPE, subprocess.PIPE)
        process = self._launch(_Launch(words, cwd, env or {}, pipes, keeps_stdin=True))
        try:
            stdout, stderr, status = process.communicate(stdin, deadline)
        except subprocess.TimeoutExpired:
            raise InfraError(
                f"{words[0]} did not end within {deadline:g} s",
                remedy=f"the whole command was: {' '.join(words)}",
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
        """See ``Runner``."""
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
        """See ``Runner``."""
        with self._lock:
            self._closed = True
            for process in tuple(self._running):
                process.kill_soon()

    def _launch(self, launch: _Launch) -> HostProcess:
        with self._lock:
            if self._closed:
                raise InfraError(f"{launch.words[0]} was not started: the harness is ending")
            process = launch.process()
            self._running = {one for one in self._running if not one.has_ended}
            if launch.guarded:
                self._running.add(process)
            return process


@dataclass(frozen=True, slots=True)
class _Launch:
    """A process to be."""

    words: list[str]
    cwd: Path | None
    env: Mapping[str, str]
    streams: tuple[Stream, Stream]
    pass_fds: tuple[int, ...] = ()
    keeps_stdin: bool = False
    duplex: bool = False
    guarded: bool = True

    def process(self) -> HostProcess:
        """Start it with its guard.

        Ctrl-C may come in between: what has not begun ends with the pipe that we lose.
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
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


_SH = "/bin/sh"

#: Becomes the program once it is told to, which is when its guard is there; if we are
#: killed before that, there is nothing to read.
_GATE = 'read -r _ || exit; unset PWD OLDPWD SHLVL; exec "$@"'
_OPEN = b"\n"

#: Reads until we are gone, which closes the pipe, and then ends the session.  It works
#: when we are killed with SIGKILL, and reaches what the child has started in turn.
_GUARD = 'read -r _; kill -s KILL -- "-$1"; exec pkill -KILL -s "$1"'


#: Becomes the program once its standard input is closed: by us, or by our death.
_LAST = 'read -r _; exec "$@" </dev/null'

#: Seconds that a program which has used up its time gets to end.
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
    """The error for a program that failed, with the last lines that it wrote."""
    tail = (finished.stderr or finished.stdout).decode("utf-8", "replace").splitlines()[-20:]
    return InfraError(
        f"{Path(finished.argv[0]).name} failed with exit status {finished.returncode}",
        remedy=f"the command was: {' '.join(finished.argv)}",
        detail="\n".join(tail),
    )


def unkillable(pid: int) -> InfraError:
    """The error for a process that SIGKILL does not end: frozen, or waiting in the kernel."""
    return InfraError(
        f"process {pid} did not end within {KILL_SECONDS:g} s of SIGKILL",
        remedy=f"see what it waits for: ps -o pid,stat,wchan,args -p {pid}",
    )


def missing_program(name: str) -> InfraError:
    """The error for a program that this host lacks, with the command that installs it."""
    package = PACKAGES.get(name, name)
    return InfraError(
        f"the program {name} is not installed", remedy=f"install it: apt-get install {package}"
    )


def require_program(name: str) -> str:
    """The path of a program.

    Raises:
        InfraError: it is not installed.
    """
    # Debian's users have no sbin on their path, and makefs and libvirtd are there.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS])
    found = shutil.which(name, path=path)
    if found is None:
        raise missing_program(name)
    return found


def _resolve(argv: Sequence[str | Path]) -> list[str]:
    program, *words = (str(word) for word in argv)
    return [require_program(program), *words]


def _kill_session(popen: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the session; its leader may have ended before its children."""
    try:
        _signal_session(popen.pid)
    finally:
        try:
            popen.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise unkillable(popen.pid) from error
        for stream in (popen.stdin, popen.stdout, popen.stderr):
            if stream is not None:
                stream.close()


def _kill_guard(guard: subprocess.Popen[bytes]) -> None:
    """Before its pipe is closed: it must not do its work."""
    guard.kill()
    guard.wait()
    if guard.stdin is not None:
        guard.stdin.close()


def _signal_session(session: int) -> None:
    """Kill its group, and its other groups: bmake gives each job one (``JobExec()``, job.c)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(session, signal.SIGKILL)
    killed: set[int] = set()
    while members := set(_members(session)) - killed:
        for pid in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed |= members


def _members(session: int) -> Iterator[int]:
    import psutil

    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == session:
                yield pid
