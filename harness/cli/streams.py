"""The standard streams: a write that fails is remembered, and raises nothing.

A terminal that is gone, a full disk or a reader that has left says nothing about a kernel. So
nothing that writes (``print``, click, rich, json) sees the failure; the command asks for it at its
end, and only if what it wrote there was the answer does its exit code follow.
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
"""Of the documents of ``--json``: it grows when a key changes its meaning or goes."""


class Sink(io.RawIOBase):
    """A file descriptor that accepts every write; after one that failed, all are dropped.

    Args:
        fd: an open descriptor, which stays open.
        name: for people.
        error: why nothing can be written; None for a descriptor that can be tried.
    """

    def __init__(self, fd: int, name: str, error: OSError | None = None) -> None:
        self._fd = fd
        self._name = name
        self._broken = error
        self.error: OSError | None = None

    def writable(self) -> bool:
        """See ``io.IOBase``."""
        return True

    def fileno(self) -> int:
        """See ``io.IOBase``."""
        return self._fd

    def isatty(self) -> bool:
        """See ``io.IOBase``; a terminal that is gone is none."""
        return self._broken is None and os.isatty(self._fd)

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all of it, or remember why that failed; returns its length either way."""
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
        except BlockingIOError:  # somebody else made it so (O_NONBLOCK)
            select.select([], [self._fd], [])
            return 0

    def __str__(self) -> str:
        """Such as ``standard output: No space left on device``."""
        failure = self.error or self._broken
        return f"{self._name}: {failure.strerror}" if failure else self._name


@dataclass(slots=True)
class Streams:
    """Standard output and standard error.

    Args:
        stdout: standard output.
        stderr: standard error.
        answers: whether standard output takes what the user asked for. Where it does not (the
            answer is the exit code, or a file), a command that could not write there has not
            failed.
        documented: whether a JSON document was written; there is never a second.
    """

    stdout: Sink = field(default_factory=lambda: Sink(STDOUT, "standard output"))
    stderr: Sink = field(default_factory=lambda: Sink(STDERR, "standard error"))
    answers: bool = True
    documented: bool = False

    @classmethod
    def installed(cls) -> Streams:
        """Put them into the place of Python's own.

        Descriptors that the process was started without are opened on ``/dev/null`` first: the
        next file that is opened would get their numbers, and with them all that is printed.
        """
        _fill_descriptors()
        # Python has None in the place of a stream whose descriptor was closed.
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
        from harness.host.documents import json_text

        if not self.documented:
            self.documented = True
            sys.stdout.write(json_text({"schema": SCHEMA, **document}, 2))

    def failures(self) -> list[str]:
        """What could not be written so far, in words: both streams."""
        return [str(sink) for sink in (self.stdout, self.stderr) if _failed(sink)]

    @property
    def lost_answer(self) -> str:
        """Why the answer could not be written; empty if it could, or stands elsewhere."""
        return str(self.stdout) if self.answers and _failed(self.stdout) else ""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of the program, as its commands are given it.

    Args:
        before_the_end: what a signal calls before all else.
        streams: the standard streams.
        arguments: of the program.
        retry: which cells of which run are repeated; None for all other commands.
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
    """Open those of the three standard descriptors that are closed."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(fd, True)
    os.close(fd)


def _absence(stream: TextIO | None) -> OSError | None:
    """Why nothing can be written to a stream that Python has not opened."""
    if stream is not None:
        return None
    return OSError(errno.EBADF, "it was closed when harness was started")


class PrintableStream(io.TextIOWrapper):
    """A stream that passes on printable characters, line ends and tabs only.

    Attributes:
        unfiltered: the same without that, for what draws by itself.
    """

    def __init__(self, sink: Sink, encoding: str, *, line_buffering: bool) -> None:
        buffer = io.BufferedWriter(sink)
        # Neither holds text back from the buffer that they share: it keeps the order.
        super().__init__(
            buffer, encoding, errors=_ERRORS, line_buffering=line_buffering, write_through=True
        )
        self.unfiltered = io.TextIOWrapper(
            buffer, encoding, errors=_ERRORS, line_buffering=line_buffering, write_through=True
        )

    def write(self, text: str, /) -> int:
        """See ``io.TextIOBase``."""
        super().write(printable_text(text))
        return len(text)


def unfiltered(stream: TextIO) -> TextIO:
    """A stream that passes on everything to the same place."""
    return stream.unfiltered if isinstance(stream, PrintableStream) else stream


#: No character is a reason to fail.
_ERRORS = "backslashreplace"


def _text(sink: Sink, before: TextIO | None, *, line_buffering: bool) -> PrintableStream:
    """What takes the place of ``before``."""
    encoding = before.encoding if before is not None else "utf-8"
    return PrintableStream(sink, encoding, line_buffering=line_buffering)
