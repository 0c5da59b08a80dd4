"""The harness's end of a guest's serial port."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

from harness.host.sockets import accept_trusted

_CHUNK: Final = 64 * 1024

NAP_SECONDS: Final = 0.004
"""Least time between two reads of a console.

QEMU writes single bytes, and waking up for each would use a whole CPU. The socket holds no more
than a few hundred of them.
"""

CHANNEL_NAP_SECONDS: Final = 0.002
"""The same of a port over which commands are answered: short beside an answer's time."""

_POLL_SECONDS: Final = 0.02
"""Time between two reads of a log; short enough for an echo to appear at once."""


class Detached(Exception):  # noqa: N818 - it is no error
    """Raised when the user detaches from a console."""


class Tap(Protocol):
    """Reads a guest's console and writes to it."""

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        """Return output that came within ``timeout`` seconds; None for nothing, empty at the end.

        It may return early, and does if the descriptor ``also`` has something to read.
        """
        ...

    def write(self, data: bytes) -> None:
        """Send input to the console; lost if nothing is connected, as on any serial line."""
        ...


class SerialPort(Tap, Protocol):
    """The harness's end of a serial port of a guest that is being started."""

    def fileno(self) -> int | None:
        """Return the connection's descriptor, to pass to another process; None before it exists."""
        ...


class SerialTap:
    """Listens on a socket and accepts QEMU's one connection; see ``Tap``.

    Listening before the guest starts is what keeps its first byte (see QEMU's
    ``-chardev socket``, of which QEMU is the client here).

    Args:
        path: the socket's path.
        nap: least seconds between two reads.
    """

    def __init__(self, path: Path, nap: float = 0.0) -> None:
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection: socket.socket | None = None
        self._nap = nap
        self._rested = 0.0

    def __enter__(self) -> SerialTap:
        self._path.unlink(missing_ok=True)
        self._listener.bind(str(self._path))
        self._listener.listen(1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for end in (self._connection, self._listener):
            if end is not None:
                end.close()
        self._path.unlink(missing_ok=True)

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        """See ``Tap``."""
        source = self._connection or self._listener
        if not _readable([source], timeout, also):
            return None
        if self._connection is None:
            self._connection = accept_trusted(self._listener)
            return None
        self._rest(also)
        try:
            return self._connection.recv(_CHUNK)
        except ConnectionResetError:
            return b""

    def _rest(self, also: int | None) -> None:
        """Wait for more of a burst; not needed after a pause."""
        left = self._rested + self._nap - time.monotonic()
        if left > 0:
            _readable([], left, also)
        self._rested = time.monotonic()

    def fileno(self) -> int | None:
        """See ``SerialPort``."""
        return self._connection.fileno() if self._connection else None

    def write(self, data: bytes) -> None:
        """See ``Tap``."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.sendall(data)


class LogTap:
    """Follows a kept guest's console log and sends input to the console; see ``Tap``.

    Args:
        log: the log written by ``harness.guest.relay``.
        entrance: the relay's socket; None: no input.
        offset: where in the log to start, in bytes.
    """

    def __init__(self, log: Path, entrance: Path | None, offset: int = 0) -> None:
        self._log = log
        self._entrance = entrance
        self._offset = offset
        self._files = contextlib.ExitStack()

    def __enter__(self) -> LogTap:
        self._file = self._files.enter_context(self._log.open("rb", buffering=0))
        self._file.seek(self._offset)
        self._typing = self._files.enter_context(socket.socket(socket.AF_UNIX))
        self._typing.setblocking(False)
        if self._entrance is not None:
            self._connect(self._entrance)
        return self

    def _connect(self, entrance: Path) -> None:
        with contextlib.suppress(OSError):  # the guest has ended; its log remains
            self._typing.connect(str(entrance))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.close()

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        """See ``Tap``; never empty, because the log can grow at any time."""
        data = self._file.read(_CHUNK)
        if not data:
            _readable([], min(timeout, _POLL_SECONDS), also)
        return data or None

    def write(self, data: bytes) -> None:
        """See ``Tap``."""
        with contextlib.suppress(OSError):
            self._typing.sendall(data)


def _readable(sources: list[socket.socket], timeout: float, also: int | None) -> bool:
    """Wait until a source or ``also`` is readable; return whether one of ``sources`` is."""
    numbers = [source.fileno() for source in sources]
    others = [] if also is None else [also]
    readable, _, _ = select.select([*numbers, *others], [], [], max(0.0, timeout))
    return any(number in readable for number in numbers)
