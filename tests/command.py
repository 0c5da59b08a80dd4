"""The harness as its users have it: a program of its own, with a home of its own."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SECONDS = 60.0
"""Longer than any of this takes, on whatever host; nothing waits for all of it."""

GLANCE = 0.01
"""Seconds between two looks, so that what is waited for has the processor."""

PROGRAM = (sys.executable, "-c", "from harness.cli.main import main; main()")

REAL_QEMU = shutil.which("qemu-system-x86_64") or "qemu-system-x86_64"
"""The one that stands in the place of which a test puts another."""

HEEDS_HANGUP = (
    PROGRAM[0], "-c",
    f"import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); {PROGRAM[2]}",
)  # fmt: skip
"""The same as a terminal's user starts it: the tests may run under nohup(1), and hand that on."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a harness came to."""

    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The error alone, without progress; ``harness: `` and what follows."""
        start = self.stderr.find("harness: ")
        return self.stderr[start:] if start >= 0 else ""


@dataclass(frozen=True, slots=True)
class Home:
    """The directories of a user who has only just installed the harness.

    Those in ``given`` (variables of the environment) are somebody else's, used together.
    All processes that a harness of this home starts carry the home's temporary directory in
    their environment, which is how they are told from others.
    """

    directory: Path
    given: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory / "tmp"),
            "XDG_CACHE_HOME": str(self.directory / "cache"),
            "XDG_STATE_HOME": str(self.directory / "state"),
            "XDG_CONFIG_HOME": str(self.directory / "config"),
            "XDG_RUNTIME_DIR": str(self.directory / "run"),
            **self.given,
        }
        for name in ("TMPDIR", "XDG_RUNTIME_DIR"):
            Path(env[name]).mkdir(parents=True)
        object.__setattr__(self, "env", env)

    @property
    def cache(self) -> Path:
        return Path(self.env["XDG_CACHE_HOME"], "harness")

    @property
    def runs(self) -> Path:
        return self.directory / "state" / "harness" / "runs"

    def configure(self, text: str | bytes) -> None:
        path = self.directory / "config" / "harness" / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def run(
        self,
        *words: str | Path,
        cwd: Path | None = None,
        stdin: Path = Path(os.devnull),
        **env: str,
    ) -> Said:
        """A harness to its end."""
        with stdin.open("rb") as given:
            finished = subprocess.run(
                [*PROGRAM, *map(str, words)],
                cwd=cwd or self.directory, env={**self.env, **own_qemu(**env)}, stdin=given,
                capture_output=True, timeout=500, check=False,
            )  # fmt: skip
        decoded = (text.decode("utf-8", "replace") for text in (finished.stdout, finished.stderr))
        return Said(finished.returncode, *decoded)

    @contextlib.contextmanager
    def started(self, *words: str | Path, **env: str) -> Iterator[Running]:
        """A harness that runs; killed at the end if it still does."""
        number = len(list(self.directory.glob("*.stderr")))
        path = self.directory / f"{number}.stderr"
        with path.open("wb") as stderr:
            popen = subprocess.Popen(
                [*HEEDS_HANGUP, *map(str, words)],
                cwd=self.directory, env={**self.env, **own_qemu(**env)}, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True,
            )  # fmt: skip
        try:
            yield Running(popen, path)
        finally:
            popen.kill()
            popen.wait()

    def processes(self) -> list[psutil.Process]:
        """All that harnesses of this home have started and that runs, themselves included."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                marked = process.environ().get("TMPDIR") == self.env["TMPDIR"]
                if marked and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def names(self) -> list[str]:
        """The names of those processes' programs."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                found.append(process.name())
        return found

    def wait_until_nothing_runs(self) -> None:
        """Processes that were sent SIGKILL need a moment until they are gone."""
        deadline = time.monotonic() + SECONDS
        while left := [f"{process}: {words(process)}" for process in self.processes()]:
            assert time.monotonic() < deadline, "\n".join(left)
            time.sleep(GLANCE)

    def scratch_directories(self) -> list[Path]:
        return list((self.cache / "scratch").glob("*"))

    def leftovers(self) -> list[Path]:
        """Scratch directories, sockets, half-written files."""
        cache, runtime = self.cache, Path(self.env["XDG_RUNTIME_DIR"])
        return [
            *self.scratch_directories(),
            *(path for path in runtime.rglob("*") if path.is_socket()),
            *(path for path in cache.rglob(".*") if "trees" not in path.parts),
        ]

    def empty_runs(self) -> list[Path]:
        return [run for run in self.runs.glob("*") if not any(run.iterdir())]

    def held_locks(self) -> list[str]:
        held = []
        for path in sorted((self.cache / "locks").glob("*.lock")):
            with path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    held.append(path.name)
        return held


@contextlib.contextmanager
def temporary_home() -> Iterator[Home]:
    """A home that is removed; its path is short, for a socket's has little room."""
    with tempfile.TemporaryDirectory(prefix="home") as directory:
        yield Home(Path(directory))


@contextlib.contextmanager
def home_with_kernels() -> Iterator[Home]:
    """The same, with the built-in guest's kernels in its cache: to build one takes seconds."""
    with temporary_home() as made:
        made.cache.mkdir(mode=0o700, parents=True)
        shutil.copytree(_built_kernels(), made.cache / "kernels")
        yield made


@functools.cache
def _built_kernels() -> Path:
    """Before and after the commit, without a sanitizer, built once a run of the tests."""
    directory = tempfile.TemporaryDirectory(prefix="kernels")
    atexit.register(directory.cleanup)
    with temporary_home() as builder:
        for mutant in ((), ("--mutant", "drop-commit")):
            said = builder.run("build", "--source", "embedded", *mutant)
            assert said.code == 0, said.stderr
        built = Path(directory.name) / "kernels"
        return Path(shutil.copytree(builder.cache / "kernels", built))


def words(process: psutil.Process) -> list[str]:
    """Its command line, for the test's report."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@dataclass(frozen=True, slots=True)
class Running:
    """A harness that was started."""

    popen: subprocess.Popen[bytes]
    said: Path

    def wait_for_words(self, words: str) -> None:
        """Until the harness has said them on standard error."""
        while words not in self.said.read_text():
            assert self.popen.poll() is None, self.said.read_text()
            time.sleep(GLANCE)

    def end_by(self, signum: signal.Signals) -> int:
        """Send it the signal and wait; gives the exit status."""
        self.popen.send_signal(signum)
        return self.popen.wait(SECONDS)


def own_qemu(PATH: str = "", **env: str) -> dict[str, str]:  # noqa: N803 - as in the environment
    """An environment for a harness with another PATH.

    A program of the test's that stands before QEMU is not open to the user of root's guests, and
    does more than QEMU may.
    """
    return {**env, "PATH": PATH, "HARNESS_QEMU_USER": "root"} if PATH else dict(env)


def script(directory: Path, name: str, text: str) -> str:
    """Put a program into a directory; gives a PATH in which it comes first."""
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return f"{directory}{os.pathsep}{os.environ['PATH']}"
