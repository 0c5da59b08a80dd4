"""Logs of output that nobody can foresee: a guest's console, a build.

What a log does not keep is still read, and counted.
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
"""Bytes of the end of a build's output that are remembered, whatever its log keeps."""


@dataclass(frozen=True, slots=True)
class LogLimits:
    """Of one log.

    Args:
        keep: bytes from its beginning that are kept.
        end: bytes of output after which who prints them is ended.
    """

    keep: int = 256 << 20
    end: int = 2 << 30


USUAL_LIMITS: Final = LogLimits()


class LimitedLog:
    """A log file that takes its first bytes only.

    Args:
        sink: writes to the file.
        path: of the file, for the error.
        limits: see ``LogLimits``.

    Attributes:
        total: bytes that were written to it, kept or not.
    """

    def __init__(self, sink: Callable[[bytes], object], path: Path, limits: LogLimits) -> None:
        self._sink = sink
        self._path = path
        self._limits = limits
        self.total = 0

    @property
    def flooded(self) -> bool:
        """Whether who prints it is to be ended."""
        return self.total > self._limits.end

    @property
    def dropped(self) -> int:
        """How many of the bytes are not kept."""
        return max(0, self.total - self._limits.keep)

    def write(self, data: bytes) -> None:
        """Keep what there is room for.

        Raises:
            InfraError: the disk is full.
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
    """The output of a program, by a pipe into a limited log.

    A program that prints more than ``limits.end`` finds the pipe closed, which ends it.

    Args:
        path: of the log.
        limits: see ``LogLimits``.

    Attributes:
        tail: the last ``TAIL`` bytes or more of the output.
        flooded: whether the program has printed too much.
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
        """Read the rest; a process that was left over with the pipe is not waited for."""
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
        except Exception as error:  # told in the thread that waits for it
            self._failure = error
        finally:
            os.close(self._reader)

    def _next(self) -> bytes:
        """What is printed next; empty for the end."""
        while not select.select([self._reader], [], [], _TICK)[0]:
            if self._ended.is_set():
                return b""
        return os.read(self._reader, _CHUNK)
