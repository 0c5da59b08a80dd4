"""Our end of a guest's serial port: a unix socket that QEMU connects to."""

from __future__ import annotations

import select
import socket
from pathlib import Path
from types import TracebackType

_CHUNK = 64 * 1024


class SerialTap:
    """Listens on a socket, takes the one connection that QEMU makes, and reads what comes.

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

    def read(self, timeout: float) -> bytes | None:
        """What came within ``timeout`` seconds; None for nothing, empty for the end."""
        source = self._connection or self._listener
        readable, _, _ = select.select([source], [], [], max(0.0, timeout))
        if not readable:
            return None
        if self._connection is None:
            self._connection, _ = self._listener.accept()
            return None
        try:
            return self._connection.recv(_CHUNK)
        except ConnectionResetError:
            return b""

    def write(self, data: bytes) -> None:
        """Type at the guest's console; nothing happens before QEMU is connected."""
        if self._connection is not None:
            self._connection.sendall(data)
