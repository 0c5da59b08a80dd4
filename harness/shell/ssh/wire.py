"""What lies below an SSH connection: its bytes, paramiko's transport, limits by a guest's clock."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import paramiko
from paramiko.common import MSG_CHANNEL_REQUEST

if TYPE_CHECKING:
    from harness.host.clock import Clock

TICK: Final = 0.1
"""Seconds between two looks at a guest's clock."""

LOGGER: Final = "harness.shell.ssh"
"""The name of paramiko's log, which is off: it writes backtraces of hostile data."""

_NEVER: Final = 1e6
_JOIN_SECONDS: Final = 10.0
_MOST_BEFORE_LOGIN: Final = 1 << 20
_MOST_PACKET: Final = 1 << 18
"""OpenSSH's ``PACKET_MAX_SIZE``; paramiko asks servers for 32 KiB."""

_KEX: Final = ("curve25519-sha256@libssh.org",)
_KEYS: Final = ("ssh-ed25519",)
_CIPHERS: Final = ("aes128-ctr", "aes256-ctr", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_MACS: Final = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512")


class Wire:
    """The connection's socket, as paramiko uses it.

    paramiko asks for the rest of each packet at once, so that a packet's length is seen here.

    Attributes:
        received: bytes that the server has sent.
        fault: what the server did that ended the connection; empty if nothing.
        logged_in: whether the server has accepted the key; before, it may send 1 MiB.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._first = b""
        self.received = 0
        self.fault = ""
        self.logged_in = False

    @property
    def _closed(self) -> bool:
        """Whether it is closed; paramiko looks at this attribute of a socket."""
        return self._socket.fileno() < 0

    def give_back(self, data: bytes) -> None:
        """Let the next reads return ``data``, which was read already."""
        self._first = data + self._first

    def recv(self, size: int) -> bytes:
        """Read up to ``size`` bytes.

        Raises:
            OSError: the connection failed; TimeoutError if nothing came.
            EOFError: the server sent too much.
        """
        if size > _MOST_PACKET:
            raise self._fail(f"sent a packet of {size} bytes")
        if self._first:
            data, self._first = self._first[:size], self._first[size:]
            return data
        data = self._socket.recv(size)
        self.received += len(data)
        if self.received > _MOST_BEFORE_LOGIN and not self.logged_in:
            raise self._fail("sent more than 1 MiB before the login")
        return data

    def _fail(self, fault: str) -> EOFError:
        self.fault = fault
        return EOFError(fault)

    def send(self, data: bytes) -> int:
        """Write some of ``data``; return how many bytes.

        Raises:
            OSError: the connection failed; TimeoutError if it takes nothing now.
        """
        return self._socket.send(data)

    def settimeout(self, seconds: float | None) -> None:
        """Set the timeout of a single read or write."""
        self._socket.settimeout(seconds)

    def cut(self) -> None:
        """End the connection under whoever reads or writes."""
        with contextlib.suppress(OSError):  # not connected, or closed
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


_Handler = Callable[[paramiko.Channel, paramiko.Message], None]


def _waking(handler: _Handler) -> _Handler:
    """Return a handler of a channel's messages that wakes who waits for one."""

    def handle(channel: paramiko.Channel, message: paramiko.Message) -> None:
        handler(channel, message)
        transport: Any = channel.transport
        transport.wake.set()

    return handle


def _take_request(channel: paramiko.Channel, message: paramiko.Message) -> None:
    """Keep the signal that ended a command, which paramiko ignores (RFC 4254, 6.10)."""
    copy = paramiko.Message(message.get_remainder())
    if copy.get_text() == "exit-signal":
        copy.get_boolean()
        transport: Any = channel.transport
        transport.signals[channel.get_id()] = copy.get_text()
    handler: Any = paramiko.Channel
    handler._handle_request(channel, message)


def _channel_handlers() -> dict[int, _Handler]:
    base: Any = paramiko.Transport
    handlers = {**base._channel_handler_table, MSG_CHANNEL_REQUEST: _take_request}
    return {kind: _waking(handler) for kind, handler in handlers.items()}


class Transport(paramiko.Transport):
    """paramiko's transport, with the algorithms that guests need and no time limits of its own.

    Attributes:
        wake: set whenever a message for a channel has come, and at the end.
        signals: the signals that ended commands, by the channel's number.
    """

    _channel_handler_table = _channel_handlers()

    def __init__(self, wire: Wire) -> None:
        any_socket: Any = wire
        super().__init__(any_socket)
        self.wake = threading.Event()
        self.signals: dict[int, str] = {}
        self.set_log_channel(LOGGER)
        self.logger.disabled = True
        options = self.get_security_options()
        options.kex, options.key_types = _KEX, _KEYS
        options.ciphers, options.digests = _CIPHERS, _MACS
        self.banner_timeout = self.handshake_timeout = self.auth_timeout = _NEVER
        self.channel_timeout = self.clear_to_send_timeout = _NEVER

    def run(self) -> None:
        """Serve the connection until its end."""
        try:
            super().run()
        finally:
            self.wake.set()

    def end(self) -> None:
        """End the connection and wait for the thread."""
        self.close()
        if self.is_alive():
            self.join(_JOIN_SECONDS)
        self.packetizer.complete_handshake()  # ends the timer of one that did not


class TimeLimit:
    """Cuts a connection when a request takes too long by a guest's clock.

    Args:
        clock: the guest's clock, which can stand still.
        cut: called once, by the limit's thread.

    Attributes:
        expired: the limit that has passed, in seconds; None if none has.
    """

    def __init__(self, clock: Clock, cut: Callable[[], None]) -> None:
        self._clock = clock
        self._cut = cut
        self._changed = threading.Condition()
        self._until: float | None = None
        self._seconds = 0.0
        self._ended = False
        self._thread: threading.Thread | None = None
        self.expired: float | None = None

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Cut the connection unless the context ends within ``seconds``."""
        with self._changed:
            if self._thread is None and not self._ended:
                self._thread = threading.Thread(target=self._watch, name="ssh-limit", daemon=True)
                self._thread.start()
            self._seconds, self._until = seconds, self._clock.monotonic() + seconds
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._until = None

    def close(self) -> None:
        """End the limit and wait for its thread."""
        with self._changed:
            self._ended = True
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _watch(self) -> None:
        with self._changed:
            while not (self._ended or self._has_passed()):
                self._changed.wait(None if self._until is None else TICK)
            if self._ended:
                return
            self.expired = self._seconds
        self._cut()

    def _has_passed(self) -> bool:
        return self._until is not None and self._clock.monotonic() >= self._until
