"""The standard streams: a write that fails is recorded, and raises no error.

A closed terminal, a full disk or a reader that has exited says nothing about a kernel. Therefore
``print``, click, rich and json never get such an error. The command checks for it at its end, and
fails only if its result was written there.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TextIO

from harness.printable import printable_text

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from harness.runs.environment import Retry

STDIN, STDOUT, STDERR = range(3)

SCHEMA: Final = 1
"""The schema version of ``--json``; it is raised when a key changes its meaning or is removed."""


class Sink(io.RawIOBase):
    """A file descriptor that accepts every write; after one that failed, all are dropped.

    Args:
        fd: an open descriptor, which stays open.
        name: the name for messages.
        error: why nothing can be written, or None.
    """

    def __init__(self, fd: int, name: str, error: OSError | None = None) -> None:
        self._fd = fd
        self._name = name
        self._broken = error
        self.error: OSError | None = None

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def isatty(self) -> bool:
        """Return whether the descriptor is a terminal that is still open."""
        return self._broken is None and os.isatty(self._fd)

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all data, or record the error; return the data's length in both cases."""
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left and self.error is None:
                left = left[self._write(left) :]
        except OSError as error:
            self.error = error
        return size

    def _write(self, data: memoryview) -> int:
        if self._broken is not None:
            raise self._broken
        try:
            return os.write(self._fd, data)
        except BlockingIOError:  # another process has set O_NONBLOCK
            select.select([], [self._fd], [])
            return 0

    def __str__(self) -> str:
        """Return ``standard output: No space left on device`` and the like."""
        failure = self.error or self._broken
        return f"{self._name}: {failure.strerror}" if failure else self._name


@dataclass(slots=True)
class Streams:
    """Standard output and standard error.

    Args:
        stdout: standard output.
        stderr: standard error.
        answers: whether the command's result is written to standard output. If the result is the
            exit code or a file, a command that cannot write there does not fail.
        documented: whether a JSON document was written; only one is written.
    """

    stdout: Sink = field(default_factory=lambda: Sink(STDOUT, "standard output"))
    stderr: Sink = field(default_factory=lambda: Sink(STDERR, "standard error"))
    answers: bool = True
    documented: bool = False

    @classmethod
    def installed(cls) -> Streams:
        """Replace Python's standard streams.

        Closed standard descriptors are first opened on ``/dev/null``: otherwise the next file that
        is opened would get their numbers, and the output.
        """
        _fill_descriptors()
        # Python sets a stream to None if its descriptor was closed.
        stdin: TextIO | None = sys.stdin
        if stdin is None:
            sys.stdin = open(STDIN, encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open
        stdout = Sink(STDOUT, "standard output", _absence(sys.stdout))
        stderr = Sink(STDERR, "standard error", _absence(sys.stderr))
        sys.stdout = _text(stdout, sys.stdout, line_buffering=stdout.isatty())
        sys.stderr = _text(stderr, sys.stderr, line_buffering=True)
        return cls(stdout, stderr)

    def write_document(self, document: Mapping[str, Any]) -> None:
        """Write a JSON document to standard output, unless there is one already."""
        from harness.host.jsontoml import json_text

        if not self.documented:
            self.documented = True
            sys.stdout.write(json_text({"schema": SCHEMA, **document}, 2))

    def failures(self) -> list[str]:
        """Return the errors of both streams so far."""
        return [str(sink) for sink in (self.stdout, self.stderr) if _failed(sink)]

    @property
    def lost_answer(self) -> str:
        """Why the result could not be written; empty if it was, or is written elsewhere."""
        return str(self.stdout) if self.answers and _failed(self.stdout) else ""


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call of the program.

    Args:
        before_the_end: functions that a signal handler calls first.
        streams: the standard streams.
        arguments: the arguments of the program.
        retry: the run and the cells to repeat; None for other commands.
    """

    before_the_end: list[Callable[[], None]] = field(default_factory=list)
    streams: Streams = field(default_factory=Streams)
    arguments: tuple[str, ...] = ()
    retry: Retry | None = None


def _failed(sink: Sink) -> bool:
    sys.stdout.flush()
    sys.stderr.flush()
    return sink.error is not None


def _fill_descriptors() -> None:
    """Open closed standard descriptors on ``/dev/null``."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(fd, True)
    os.close(fd)


def _absence(stream: TextIO | None) -> OSError | None:
    """Return the error for a stream that Python has not opened, or None."""
    if stream is not None:
        return None
    return OSError(errno.EBADF, "it was closed when the harness was started")


class PrintableStream(io.TextIOWrapper):
    """A text stream that escapes all but printable characters, newlines and tabs.

    Attributes:
        unfiltered: the same stream without escaping, for rich.
    """

    def __init__(self, sink: Sink, encoding: str, *, line_buffering: bool) -> None:
        buffer = io.BufferedWriter(sink)
        # Both write through to the same buffer, which keeps the order.
        super().__init__(
            buffer, encoding, errors=_ERRORS, line_buffering=line_buffering, write_through=True
        )
        self.unfiltered = io.TextIOWrapper(
            buffer, encoding, errors=_ERRORS, line_buffering=line_buffering, write_through=True
        )

    def write(self, text: str, /) -> int:
        """Write text, escaped."""
        super().write(printable_text(text))
        return len(text)


def unfiltered(stream: TextIO) -> TextIO:
    """Return a stream to the same descriptor, without escaping."""
    return stream.unfiltered if isinstance(stream, PrintableStream) else stream


#: Characters that cannot be encoded are not an error.
_ERRORS = "backslashreplace"


def _text(sink: Sink, before: TextIO | None, *, line_buffering: bool) -> PrintableStream:
    """Return the stream that replaces ``before``."""
    encoding = before.encoding if before is not None else "utf-8"
    return PrintableStream(sink, encoding, line_buffering=line_buffering)
