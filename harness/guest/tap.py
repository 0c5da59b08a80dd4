"""Our end of a guest's serial port."""

from __future__ import annotations

import contextlib
import select
import socket
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Protocol

_CHUNK: Final = 64 * 1024

_POLL_SECONDS: Final = 0.05
"""How often a log is looked at when no socket says that there is more."""


class Detached(Exception):  # noqa: N818 - it is no error
    """Whoever sat at the console has left it."""


class Tap(Protocol):
    """Reads what a guest says, and types."""

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        """What came within ``timeout`` seconds; None for nothing, empty for the end.

        It may return early, and does if the descriptor ``also`` has something to read.
        """
        ...

    def write(self, data: bytes) -> None:
        """Type at the guest's console; lost if nobody is there, as on any serial line."""
        ...


class SerialTap:
    """Listens on a socket, takes the one connection that QEMU makes; see ``Tap``.

    Listening before the guest starts is what keeps its first byte (see QEMU's
    ``-chardev socket``, of which QEMU is the client here).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection: socket.socket | None = None

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
            self._connection, _ = self._listener.accept()
            return None
        try:
            return self._connection.recv(_CHUNK)
        except ConnectionResetError:
            return b""

    def write(self, data: bytes) -> None:
        """See ``Tap``."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.sendall(data)


class LogTap:
    """Follows the log that QEMU writes of a console, and types at QEMU's socket; see ``Tap``.

    The log holds every byte, whoever is connected; what comes by the socket only says that the
    log has grown.

    Args:
        log: where QEMU writes; made if it is not there.
        path: QEMU's socket, which need not be there yet.
        offset: where in the log to begin.
    """

    def __init__(self, log: Path, path: Path, offset: int = 0) -> None:
        self._log = log
        self._path = path
        self._offset = offset
        self._file: BinaryIO | None = None
        self._connection: socket.socket | None = None

    def __enter__(self) -> LogTap:
        self._log.touch()
        self._file = self._log.open("rb", buffering=0)
        self._file.seek(self._offset)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for end in (self._connection, self._file):
            if end is not None:
                end.close()

    def read(self, timeout: float, also: int | None = None) -> bytes | None:
        """See ``Tap``; never empty, since another may still write to the log."""
        data = self._more()
        if data:
            return data
        connection = self._connected()
        sources = [connection] if connection else []
        if _readable(sources, min(timeout, _POLL_SECONDS), also):
            self._discard()
        return self._more()

    def write(self, data: bytes) -> None:
        """See ``Tap``."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.sendall(data)

    def _more(self) -> bytes | None:
        return self._file.read(_CHUNK) or None if self._file else None

    def _connected(self) -> socket.socket | None:
        if self._connection is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            # QEMU takes one at a time: where others wait already, connecting would block.
            connection.setblocking(False)
            try:
                connection.connect(str(self._path))
            except OSError:
                connection.close()
            else:
                self._connection = connection
        return self._connection

    def _discard(self) -> None:
        if self._connection is None:
            return
        try:
            there = self._connection.recv(_CHUNK)
        except OSError:
            there = b""
        if not there:
            self._connection.close()
            self._connection = None


def _readable(sources: list[socket.socket], timeout: float, also: int | None) -> bool:
    """Whether one of ``sources`` has something to read; waits for that, or for ``also``."""
    numbers = [source.fileno() for source in sources]
    others = [] if also is None else [also]
    readable, _, _ = select.select([*numbers, *others], [], [], max(0.0, timeout))
    return any(number in readable for number in numbers)
