"""QEMU's control protocol (QMP): how a guest ended, why QEMU stopped it, and queries.

Follows QEMU's ``docs/interop/qmp-spec.txt``: a greeting, then ``qmp_capabilities``, after
which events and answers arrive, one JSON object a line.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.errors import InfraError
from harness.host.documents import parse_json
from harness.host.sockets import peer_process

if TYPE_CHECKING:
    from harness.host.clock import Clock

START_SECONDS: Final = 60.0
"""How long QEMU may take until it answers; it takes a tenth of a second on an idle host."""

_LINE_LIMIT: Final = 1 << 20


HOST_STOPS: Final = frozenset({"internal-error", "io-error", "paused"})
"""States (``RunState`` in ``qapi/run-state.json``) in which the host, not the guest, stopped it."""

ANSWER_SECONDS: Final = 30.0
"""How long QEMU may take for the answer to a query."""


class ControlChannel:
    """A unix socket on which QEMU connects to us.

    Args:
        path: of the socket.
        clock: measures how long QEMU takes to answer.

    Attributes:
        shutdown_reason: the cause of the guest's shutdown (``ShutdownCause``); None before it.
        stopped: QEMU has stopped the guest, and it is not resumed.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection: socket.socket | None = None
        self._pending = b""
        self._ready = False
        self._ended = False
        self._queries = 0
        self._answers: dict[int, Any] = {}
        self.shutdown_reason: str | None = None
        self.stopped = False
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

    @property
    def pid(self) -> int | None:
        """QEMU's process; None before it has connected, or where the host does not tell."""
        return None if self._connection is None else peer_process(self._connection)

    def query(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        timeout: float = ANSWER_SECONDS,
    ) -> Any:
        """QEMU's answer to a command, such as ``query-status``.

        Raises:
            InfraError: QEMU refuses it, does not answer within ``timeout`` seconds, or is gone.
        """
        self._queries += 1
        number = self._queries
        self._send({"execute": command, "arguments": arguments or {}, "id": number})
        until = self._clock.monotonic() + timeout
        while number not in self._answers:
            left = until - self._clock.monotonic()
            self.read(max(0.0, left))
            if number not in self._answers and (left <= 0 or self._ended):
                raise InfraError(
                    f"QEMU ended before it answered {command}"
                    if self._ended
                    else f"QEMU did not answer {command} within {timeout:g} s",
                    remedy="run it again; harness doctor tells what this host can do",
                )
        answer = self._answers.pop(number)
        if "error" in answer:
            raise InfraError(f"QEMU refused {command}: {answer['error']}")
        return answer["return"]

    def stop_state(self) -> str | None:
        """The run state if QEMU has stopped the guest because of the host; None if not.

        Raises:
            InfraError: see ``query``.
        """
        if not self.stopped or self._ended:
            return None
        state = self.query("query-status").get("status")
        return state if state in HOST_STOPS else None

    def _send(self, message: dict[str, Any]) -> None:
        if self._connection is None:
            return
        self._connection.settimeout(ANSWER_SECONDS)
        # It is gone, or it does not read; what it has sent before is still to be read.
        with contextlib.suppress(OSError):
            self._connection.sendall(json.dumps(message).encode() + b"\n")

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
            message: Any = parse_json(line)
        except ValueError:
            return
        match message:
            case {"id": int(number), "return": _} | {"id": int(number), "error": _}:
                self._answers[number] = message
            case {"return": _}:
                self._ready = True
            case {"event": "STOP"}:
                self.stopped = True
            case {"event": "RESUME"}:
                self.stopped = False
            case {"event": "SHUTDOWN", "data": {"reason": str(reason)}}:
                self.shutdown_reason = self.shutdown_reason or reason
            case _:
                pass
