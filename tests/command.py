"""Runs the harness as a user does: as a program, with a home of its own."""

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
"""Timeout that no host exceeds; no test waits for all of it."""

GLANCE = 0.01
"""Seconds between two polls, so that the polled process has the CPU."""

PROGRAM = (sys.executable, "-c", "from harness.cli.main import main; main()")

REAL_QEMU = shutil.which("qemu-system-x86_64") or "qemu-system-x86_64"
"""The real QEMU, where a test puts another program in its place."""

HEEDS_HANGUP = (
    PROGRAM[0], "-c",
    f"import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); {PROGRAM[2]}",
)  # fmt: skip
"""The same program with the default action for SIGHUP, which nohup(1) would change."""


@dataclass(frozen=True, slots=True)
class Said:
    """Exit code and output of a harness."""

    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The error without progress; starts with ``harness: ``."""
        start = self.stderr.find("harness: ")
        return self.stderr[start:] if start >= 0 else ""


@dataclass(frozen=True, slots=True)
class Home:
    """The directories of a user who has just installed the harness.

    Those in ``given`` (environment variables) belong to another home and are shared. All processes
    that a harness of this home starts have the home's temporary directory in their environment,
    which identifies them.
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
        """Run a harness to its end."""
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
        """Yield a running harness; it is killed at the end of the context."""
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
        """Return all running processes of this home's harnesses."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                marked = process.environ().get("TMPDIR") == self.env["TMPDIR"]
                if marked and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def names(self) -> list[str]:
        """Return the names of those processes' programs."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                found.append(process.name())
        return found

    def wait_until_nothing_runs(self) -> None:
        """Wait until no process runs; killed processes need a moment to exit."""
        deadline = time.monotonic() + SECONDS
        while left := [f"{process}: {words(process)}" for process in self.processes()]:
            assert time.monotonic() < deadline, "\n".join(left)
            time.sleep(GLANCE)

    def scratch_directories(self) -> list[Path]:
        return list((self.cache / "scratch").glob("*"))

    def leftovers(self) -> list[Path]:
        """Return scratch directories, sockets and incomplete files."""
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
    """Yield a home that is removed; its path is short, as sockets' paths must be."""
    with tempfile.TemporaryDirectory(prefix="home") as directory:
        yield Home(Path(directory))


@contextlib.contextmanager
def home_with_kernels() -> Iterator[Home]:
    """The same, with the built-in guest's kernels in its cache, which saves seconds."""
    with temporary_home() as made:
        made.cache.mkdir(mode=0o700, parents=True)
        shutil.copytree(_built_kernels(), made.cache / "kernels")
        yield made


@functools.cache
def _built_kernels() -> Path:
    """Kernels before and after the commit, without a sanitizer, built once in a test run."""
    directory = tempfile.TemporaryDirectory(prefix="kernels")
    atexit.register(directory.cleanup)
    with temporary_home() as builder:
        for mutant in ((), ("--mutant", "drop-commit")):
            said = builder.run("build", "--source", "embedded", *mutant)
            assert said.code == 0, said.stderr
        built = Path(directory.name) / "kernels"
        return Path(shutil.copytree(builder.cache / "kernels", built))


def words(process: psutil.Process) -> list[str]:
    """Return a process's command line, for reports."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@dataclass(frozen=True, slots=True)
class Running:
    """A running harness."""

    popen: subprocess.Popen[bytes]
    said: Path

    def wait_for_words(self, words: str) -> None:
        """Wait until the words are on standard error."""
        while words not in self.said.read_text():
            assert self.popen.poll() is None, self.said.read_text()
            time.sleep(GLANCE)

    def end_by(self, signum: signal.Signals) -> int:
        """Send a signal and wait; return the exit status."""
        self.popen.send_signal(signum)
        return self.popen.wait(SECONDS)


def own_qemu(PATH: str = "", **env: str) -> dict[str, str]:  # noqa: N803 - as in the environment
    """Return an environment with another PATH.

    Root's guests run as root in it, because their usual user cannot access the test's program.
    """
    return {**env, "PATH": PATH, "HARNESS_QEMU_USER": "root"} if PATH else dict(env)


def script(directory: Path, name: str, text: str) -> str:
    """Write a program to a directory; return a PATH in which it comes first."""
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return f"{directory}{os.pathsep}{os.environ['PATH']}"
