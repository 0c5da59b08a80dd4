"""Commands in a guest, whatever carries them: SSH, or a serial port."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol


class ShellError(Exception):
    """Why a guest did not run a command to its end; who is to blame, the console tells."""


class ShellLostError(ShellError):
    """The connection was lost: the guest ended, hangs, or its server was killed."""


class ShellSilentError(ShellLostError):
    """The guest no longer answers."""


class ShellTimeoutError(ShellError):
    """The command did not end within its limit, and was ended."""


class ShellRefusedError(ShellError):
    """The guest's server refused the connection, the key or the request."""


class ShellDataError(ShellError):
    """What the guest sent is not taken: a bad name, a special file, more than a limit."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has ended.

    Args:
        status: its exit status; None if a signal ended it.
        signal: the signal's name without SIG, such as ``KILL``; empty if it exited.
        stdout: its standard output, up to the shell's limit.
        stderr: its standard error, likewise.
        dropped: bytes of both that exceeded the limit.
    """

    status: int | None
    signal: str = ""
    stdout: bytes = b""
    stderr: bytes = b""
    dropped: int = 0

    @property
    def succeeded(self) -> bool:
        """Whether it exited with status 0."""
        return self.status == 0


@dataclass(frozen=True, slots=True)
class OutputSink:
    """Receives a command's output while it runs, in the thread that runs it."""

    stdout: Callable[[bytes], None] = lambda _: None
    stderr: Callable[[bytes], None] = lambda _: None


class Shell(Protocol):
    """Runs commands in a guest, one after the other.

    ``close`` may be called by another thread; what is running then raises ``ShellLostError``.
    """

    def connect(self) -> None:
        """Log in, before anything else.

        Raises:
            ShellError: the guest does not let the harness in.
        """
        ...

    def run(
        self, command: str, *, timeout: float | None = None, stdin: bytes = b"",
        sink: OutputSink | None = None,
    ) -> Completed:  # fmt: skip
        """Run a command line of sh(1) to its end.

        Args:
            command: the command line.
            timeout: most seconds that the guest can have run meanwhile; None: no limit.
            stdin: its standard input.
            sink: receives the output; the result then has none.

        Raises:
            ShellError: it did not end.
        """
        ...

    def put(self, source: Path, target: PurePosixPath) -> None:
        """Copy a file or a directory into the guest.

        Raises:
            ShellError: the guest did not take it.
            OSError: ``source`` cannot be read.
        """
        ...

    def get(self, source: PurePosixPath, target: Path) -> None:
        """Copy a file or a directory from the guest; what it contains is not trusted.

        Raises:
            ShellError: the guest did not give it.
            OSError: ``target`` cannot be written.
        """
        ...

    def close(self) -> None:
        """End the connection, and with it a running command."""
        ...
