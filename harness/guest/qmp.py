"""QEMU's control protocol (QMP): how a guest ended, why QEMU stopped it, and queries.

Follows QEMU's ``docs/interop/qmp-spec.txt``: a greeting, then ``qmp_capabilities``, after
which events and answers arrive, one JSON object a line.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from harness.errors import InfraError
from harness.host.jsontoml import parse_json
from harness.host.sockets import Peer, accept_trusted, credentialed_pair, peer_of, receive

if TYPE_CHECKING:
    from harness.host.clock import Clock

START_SECONDS: Final = 60.0
"""Timeout of QEMU's first answer; it takes a tenth of a second on an idle host."""

_LINE_LIMIT: Final = 1 << 20


HOST_STOPS: Final = frozenset({"internal-error", "io-error", "paused"})
"""Run states (``RunState`` in ``qapi/run-state.json``) for which the host is to blame."""

ANSWER_SECONDS: Final = 30.0
"""Timeout of the answer to a query."""


class Monitor(Protocol):
    """Controls a QEMU; ``ControlChannel`` implements it."""

    @property
    def stopped(self) -> bool:
        """Whether QEMU has stopped the guest and not resumed it, as far as events were read."""
        ...

    def query(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        timeout: float = ANSWER_SECONDS,
        descriptor: int | None = None,
    ) -> Any:
        """Return QEMU's answer to a command; ``descriptor`` is passed with it (``getfd``).

        Raises:
            InfraError: QEMU refuses, does not answer within ``timeout`` seconds, or has exited.
        """
        ...

    def drain(self) -> None:
        """Process all that QEMU has sent, without waiting."""
        ...


def read_status(monitor: Monitor) -> str:
    """Return the guest's run state (``RunState`` in ``qapi/run-state.json``).

    Raises:
        InfraError: QEMU does not answer.
    """
    return str(monitor.query("query-status").get("status"))


class ControlChannel:
    """A unix socket connected to QEMU; created by ``paired`` or ``listening``.

    Args:
        clock: measures timeouts.
        listener: the socket that QEMU connects to; None if it is connected.
        connection: the connection to QEMU; None before QEMU connects.
        path: the listener's path.

    Attributes:
        shutdown_reason: the cause of the guest's shutdown (``ShutdownCause``); None before it.
        stopped: whether QEMU has stopped the guest and not resumed it.
    """

    def __init__(
        self,
        clock: Clock,
        listener: socket.socket | None = None,
        connection: socket.socket | None = None,
        path: Path | None = None,
    ) -> None:
        self.path = path
        self._clock = clock
        self._listener = listener
        self._connection = connection
        self._peer: Peer | None = None
        self._pending = b""
        self._greeted = False
        self._ready = False
        self._ended = False
        # Unlike those of other harnesses that used the connection before.
        self._queries = int.from_bytes(os.urandom(4)) << 16
        self._answers: dict[int, Any] = {}
        self.shutdown_reason: str | None = None
        self.stopped = False

    @classmethod
    def paired(cls, clock: Clock) -> tuple[ControlChannel, socket.socket]:
        """Return a channel that no other process can reach, and the end that QEMU inherits."""
        ours, theirs = credentialed_pair()
        return cls(clock, connection=ours), theirs

    @classmethod
    def taken_over(cls, connection: socket.socket, clock: Clock) -> ControlChannel:
        """Return a channel on a connection that another harness has used before."""
        channel = cls(clock, connection=connection)
        channel._greeted = channel._ready = True
        return channel

    @classmethod
    def listening(cls, path: Path, clock: Clock) -> ControlChannel:
        """Return a channel for a QEMU that connects to ``path``.

        Raises:
            InfraError: the socket cannot be created.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.unlink(missing_ok=True)
            listener.bind(str(path))
            listener.listen(1)
        except OSError as error:
            listener.close()
            raise InfraError(
                f"cannot listen on {path}: {error.strerror}",
                remedy="check that the directory exists, is writable and has free space",
            ) from error
        return cls(clock, listener=listener, path=path)

    def ready(self, timeout: float) -> bool:
        """Return whether QEMU is up and sends events; wait up to ``timeout`` seconds."""
        if self._connection is None:
            self._accept(timeout)
        elif not self._greeted:
            self._greeted = True
            with contextlib.suppress(OSError):  # it has ended
                self._connection.sendall(b'{"execute":"qmp_capabilities"}\n')
        else:
            self.read(timeout)
        return self._ready

    def _accept(self, timeout: float) -> None:
        if self._listener is None:
            return
        self._listener.settimeout(timeout)
        with contextlib.suppress(TimeoutError):
            self._connection = accept_trusted(self._listener)
        self._peer = None if self._connection is None else peer_of(self._connection)

    @property
    def closed(self) -> bool:
        """Whether QEMU has disconnected."""
        return self._connection is not None and self._ended

    @property
    def pid(self) -> int | None:
        """QEMU's process id; None before it has sent anything, or if unknown."""
        return None if self._peer is None else self._peer.pid

    def query(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        timeout: float = ANSWER_SECONDS,
        descriptor: int | None = None,
    ) -> Any:
        """See ``Monitor``."""
        self._queries += 1
        number = self._queries
        message = {"execute": command, "arguments": arguments or {}, "id": number}
        self._send(message, [] if descriptor is None else [descriptor])
        until = self._clock.monotonic() + timeout
        while number not in self._answers:
            left = until - self._clock.monotonic()
            self.read(max(0.0, left))
            if number not in self._answers and (left <= 0 or self._ended):
                raise InfraError(
                    f"QEMU ended before it answered {command}"
                    if self._ended
                    else f"QEMU did not answer {command} within {timeout:g} s",
                    remedy="run it again; harness doctor lists what this host lacks",
                )
        answer = self._answers.pop(number)
        if "error" in answer:
            raise InfraError(f"QEMU refused {command}: {answer['error']}")
        return answer["return"]

    def stop_state(self) -> str | None:
        """Return the run state if the host made QEMU stop the guest; None if not.

        A guest that has shut down is stopped, too, until libvirt ends its QEMU.

        Raises:
            InfraError: QEMU does not answer.
        """
        if not self.stopped or self._ended:
            return None
        try:
            state = read_status(self)
        except InfraError:
            if self._ended:
                return None
            raise
        return state if state in HOST_STOPS else None

    def _send(self, message: dict[str, Any], descriptors: Sequence[int]) -> None:
        if self._connection is None:
            return
        # QEMU has exited, or does not read; its earlier messages can still be read.
        with contextlib.suppress(OSError):
            self._connection.settimeout(ANSWER_SECONDS)
            line = json.dumps(message).encode() + b"\n"
            sent = socket.send_fds(self._connection, [line], descriptors)
            self._connection.sendall(line[sent:])

    def read(self, timeout: float) -> bool:
        """Process what QEMU has sent, waiting up to ``timeout`` s; return whether anything came."""
        if self._connection is None or self._ended:
            return False
        self._connection.settimeout(timeout)
        try:
            data, sender = receive(self._connection, 1 << 16)
            self._peer = self._peer or sender
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
        """Process all that QEMU has sent, without waiting."""
        while self.read(0.0):
            pass

    def release(self) -> socket.socket | None:
        """Close the channel, but return the connection to QEMU; None if there is none."""
        connection, self._connection = self._connection, None
        ended = self._ended
        self.close()
        if connection is None or not ended:
            return connection
        connection.close()
        return None

    def close(self) -> None:
        """Close and remove the socket."""
        self._ended = True
        for end in (self._listener, self._connection):
            if end is not None:
                end.close()
        if self.path is not None:
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
