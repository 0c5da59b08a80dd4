"""Logs of limited size, for guests' consoles and for builds.

Output beyond the limit is read, counted and dropped.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from harness.host.workspace import host_refused

_CHUNK: Final = 1 << 16
_TICK: Final = 0.1

TAIL: Final = 4 << 20
"""Bytes of the end of a build's output that are kept in memory, in addition to its log."""


@dataclass(frozen=True, slots=True)
class LogLimits:
    """The limits of a log.

    Args:
        keep: bytes that are kept, from the start of the output.
        end: bytes of output after which the guest or the build is ended.
    """

    keep: int = 256 << 20
    end: int = 2 << 30


USUAL_LIMITS: Final = LogLimits()


class LimitedLog:
    """A log file of limited size.

    Args:
        sink: writes to the file.
        path: path of the file, for errors.
        limits: the limits.

    Attributes:
        total: bytes that were passed to ``write``, kept or dropped.
    """

    def __init__(self, sink: Callable[[bytes], object], path: Path, limits: LogLimits) -> None:
        self._sink = sink
        self._path = path
        self._limits = limits
        self.total = 0

    @property
    def flooded(self) -> bool:
        """Whether the guest or the build must be ended."""
        return self.total > self._limits.end

    @property
    def dropped(self) -> int:
        """Number of bytes that were dropped."""
        return max(0, self.total - self._limits.keep)

    def write(self, data: bytes) -> None:
        """Write the bytes up to the limit, and drop the rest.

        Raises:
            InfraError: the file cannot be written.
        """
        room = self._limits.keep - self.total
        self.total += len(data)
        if room <= 0:
            return
        try:
            self._sink(data[:room])
        except OSError as error:
            raise host_refused(self._path, error) from error


class OutputLog:
    """The output of a program, copied from a pipe into a limited log.

    When a program prints more than ``limits.end``, the pipe is closed, so it gets SIGPIPE.

    Args:
        path: path of the log.
        limits: the limits.

    Attributes:
        tail: the last bytes of the output, at least ``TAIL`` if there are as many.
        flooded: whether the program printed more than ``limits.end``.
    """

    def __init__(self, path: Path, limits: LogLimits) -> None:
        self._path = path
        self._limits = limits
        self._reader, writer = os.pipe()
        self.pipe: IO[bytes] = os.fdopen(writer, "wb", buffering=0)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self.tail = bytearray()
        self.flooded = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Read the rest, without waiting for other processes that hold the pipe open."""
        self.pipe.close()
        self._ended.set()
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure

    def _read(self) -> None:
        try:
            with self._path.open("wb", buffering=0) as file:
                log = LimitedLog(file.write, self._path, self._limits)
                while data := self._next():
                    log.write(data)
                    self.tail += data
                    if len(self.tail) > 2 * TAIL:
                        del self.tail[:-TAIL]
                    if log.flooded:
                        self.flooded = True
                        break
        except Exception as error:  # raised by __exit__
            self._failure = error
        finally:
            os.close(self._reader)

    def _next(self) -> bytes:
        """Return the next output; empty at its end."""
        while not select.select([self._reader], [], [], _TICK)[0]:
            if self._ended.is_set():
                return b""
        return os.read(self._reader, _CHUNK)
