"""The little of QEMU's control protocol (QMP) that tells how a guest ended.

Follows QEMU's ``docs/interop/qmp-spec.txt``: a greeting, then ``qmp_capabilities``, after
which events arrive, one JSON object a line.
"""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path
from typing import Any, Final

from harness.errors import InfraError

START_SECONDS: Final = 60.0
"""How long QEMU may take until it answers; it takes a tenth of a second on an idle host."""

_LINE_LIMIT: Final = 1 << 20


class ControlChannel:
    """A unix socket on which QEMU connects to us; keeps the cause of the guest's shutdown."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection: socket.socket | None = None
        self._pending = b""
        self._ready = False
        self._ended = False
        self.shutdown_reason: str | None = None
        try:
            path.unlink(missing_ok=True)
            self._listener.bind(str(path))
            self._listener.listen(1)
        except OSError as error:
            self._listener.close()
            raise InfraError(
                f"cannot listen on {path}: {error.strerror}",
                remedy="See that the folder exists, is writable and has space left.",
            ) from error

    def ready(self, timeout: float) -> bool:
        """Whether QEMU is up and tells us of events; waits up to ``timeout`` seconds."""
        if self._connection is None:
            self._listener.settimeout(timeout)
            with contextlib.suppress(TimeoutError):
                self._connection, _ = self._listener.accept()
                self._connection.sendall(b'{"execute":"qmp_capabilities"}\n')
        else:
            self.read(timeout)
        return self._ready

    @property
    def closed(self) -> bool:
        """Whether QEMU was connected and is gone."""
        return self._connection is not None and self._ended

    def read(self, timeout: float) -> bool:
        """Take in what QEMU has sent, waiting up to ``timeout`` s; whether anything came."""
        if self._connection is None or self._ended:
            return False
        self._connection.settimeout(timeout)
        try:
            data = self._connection.recv(1 << 16)
        except (TimeoutError, BlockingIOError):
            return False
        except OSError:
            data = b""
        self._ended = not data
        *lines, self._pending = (self._pending + data).split(b"\n")
        self._pending = self._pending[:_LINE_LIMIT]
        for line in lines:
            self._take(line)
        return bool(data)

    def drain(self) -> None:
        """Take in all that is there, without waiting."""
        while self.read(0.0):
            pass

    def close(self) -> None:
        """Close and remove the socket."""
        self._ended = True
        self._listener.close()
        if self._connection is not None:
            self._connection.close()
        self.path.unlink(missing_ok=True)

    def _take(self, line: bytes) -> None:
        try:
            message: Any = json.loads(line)
        except ValueError:
            return
        match message:
            case {"return": _}:
                self._ready = True
            case {"event": "SHUTDOWN", "data": {"reason": str(reason)}}:
                self.shutdown_reason = self.shutdown_reason or reason
            case _:
                pass
