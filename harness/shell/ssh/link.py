"""A connection to a guest's SSH server: handshake, requests with time limits, and its end.

paramiko speaks the protocol. Its own time limits, by the host's clock, are off: each request has
one by the guest's clock, and a thread cuts the connection when it passes. The server's version
line is read here, before paramiko sees a byte, because paramiko reads lines of any length.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import paramiko

from harness.errors import HarnessError
from harness.shell.shell import ShellError, ShellLostError
from harness.shell.ssh.errors import (
    MOST_BANNER,
    closed_before_version,
    host_key_blob,
    not_ssh,
    require_host_key,
    translated,
    version_offset,
)
from harness.shell.ssh.keys import read_key
from harness.shell.ssh.wire import TICK, TimeLimit, Transport, Wire

if TYPE_CHECKING:
    from harness.host.clock import Clock
    from harness.shell.ssh.address import SshAddress

CONNECT_SECONDS: Final = 120.0
"""Most seconds of the guest's for each step up to the login; it takes two or three in all."""

REQUEST_SECONDS: Final = 120.0
"""Most seconds of the guest's for the answer to a request."""


class SshLink:
    """A connection, from its first byte to its end; ``close`` may be called by any thread.

    Args:
        address: the server.
        clock: measures time limits.
    """

    def __init__(self, address: SshAddress, clock: Clock) -> None:
        self._address = address
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._limit = TimeLimit(clock, self._cut)
        self._wire: Wire | None = None
        self._transport: Transport | None = None
        self.clock = clock

    @property
    def transport(self) -> Transport:
        """The connection.

        Raises:
            ShellLostError: there is none.
        """
        if self._transport is None:
            raise ShellLostError(f"not connected to {self._address.name}")
        return self._transport

    @property
    def received(self) -> int:
        """Bytes that the server has sent."""
        return self._wire.received if self._wire else 0

    @property
    def alive(self) -> bool:
        """Whether the connection stands."""
        transport = self._transport
        return not self._over and transport is not None and transport.is_active()

    @property
    def _over(self) -> bool:
        return self._closed.is_set() or self._limit.expired is not None

    def connect(self) -> None:
        """Connect and log in.

        Raises:
            ShellError: the server cannot be reached, is not the known one, or refuses the key.
            InfraError: the key cannot be used.
        """
        private = io.StringIO(read_key(self._address.key).private.decode("ascii"))
        key = paramiko.Ed25519Key(file_obj=private)
        expected = host_key_blob(self._address.host_key)
        try:
            with self.request("connect", CONNECT_SECONDS):
                wire = self._reach()
                self._await_version(wire)
            with self.request("agree on a session key", CONNECT_SECONDS):
                self._transport = Transport(wire)
                self._transport.start_client()
            server_key = self._transport.get_remote_server_key()
            require_host_key(server_key.asbytes(), expected, self._address.name)
            with self.request(f"log in as {self._address.user}", CONNECT_SECONDS):
                self._transport.auth_publickey(self._address.user, key)
            wire.logged_in = True
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def request(self, doing: str, seconds: float = REQUEST_SECONDS) -> Iterator[None]:
        """Ask something of the server; if it takes too long, the connection is cut.

        Args:
            doing: what is asked, after "cannot".
            seconds: the limit, in seconds of the guest's.

        Raises:
            ShellError: the server refuses or does not answer, or the connection is lost.
        """
        if self._over:
            raise self._failure(doing, None)
        with self._limit.within(seconds):
            try:
                yield
            except (ShellError, HarnessError):
                raise
            except Exception as error:  # hostile data makes paramiko raise anything
                raise self._failure(doing, error) from error
        if self._over:
            raise self._failure(doing, None)

    def require(self) -> None:
        """Check that the connection stands.

        Raises:
            ShellLostError: it does not.
        """
        if not self.alive:
            error = self._transport.get_exception() if self._transport else None
            raise self._failure("continue", error)

    def open_channel(self) -> paramiko.Channel:
        """Open a session for a command or a subsystem.

        Raises:
            ShellError: the server refuses, or the connection is lost.
        """
        with self.request("open a session"):
            return self.transport.open_session()

    def ping(self, seconds: float) -> None:
        """Wait for an answer of the server's to a request that it need not know.

        Raises:
            ShellLostError: none came within ``seconds`` of the guest's.
        """
        with self.request("reach the server", seconds):
            self.transport.global_request("keepalive@openssh.com")
        self.require()

    def close(self) -> None:
        """End the connection and wait for its threads; repeated calls do nothing."""
        self._closed.set()
        self._limit.close()
        self._cut()
        with self._lock:
            if self._transport is not None:
                self._transport.end()
            if self._wire is not None:
                self._wire.close()

    def _cut(self) -> None:
        """Make all that waits for the server fail."""
        if self._wire is not None:
            self._wire.cut()
        if self._transport is not None:
            self._transport.wake.set()

    def _reach(self) -> Wire:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._wire = wire = Wire(connection)
        connection.setblocking(False)
        code = connection.connect_ex((self._address.host, self._address.port))
        while code == errno.EINPROGRESS:
            self._require_time()
            if select.select([], [connection], [], TICK)[1]:
                code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(TICK)
        return wire

    def _await_version(self, wire: Wire) -> None:
        """Read up to the server's version line, before which it may send others."""
        text = b""
        while (offset := version_offset(text)) is None:
            self._require_time()
            if len(text) > MOST_BANNER:
                raise not_ssh(self._address.name, text)
            with contextlib.suppress(TimeoutError):
                more = wire.recv(4096)
                if not more:
                    self._require_time()
                    raise closed_before_version(self._address.name, text)
                text += more
        wire.give_back(text[offset:])

    def _require_time(self) -> None:
        if self._over:
            raise EOFError

    def _failure(self, doing: str, error: Exception | None) -> ShellError:
        name = self._address.name
        if self._limit.expired is not None:
            seconds = f"{self._limit.expired:g} s"
            return ShellLostError(f"cannot {doing}: {name} did not answer within {seconds}")
        if self._closed.is_set():
            return ShellLostError(f"cannot {doing}: the connection to {name} was closed")
        if self._wire is not None and self._wire.fault:
            return ShellLostError(f"cannot {doing}: {name} {self._wire.fault}")
        return translated(doing, name, error, alive=self.alive)
