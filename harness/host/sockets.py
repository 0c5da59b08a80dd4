"""Unix sockets: who is at the other end, and those that nobody listens on."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from harness.errors import InfraError

if TYPE_CHECKING:
    from harness.host.workspace import Workspace

SOCKET_SUFFIX: Final = ".console"


_SEND_BUFFER: Final = 1 << 20
"""Bytes; the host may give less. QEMU sends a console byte by byte, and Linux accounts some 768
for each: the usual buffer holds 277 of them, which is then all that there is to a read."""

_UCRED: Final = struct.Struct("iII")  # pid, uid, gid: struct ucred, unix(7)


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end of a unix socket."""

    pid: int
    uid: int

    @property
    def is_trusted(self) -> bool:
        """Whether it is the user's own, or root's."""
        return self.uid in (0, os.geteuid())


def peer_of(connection: socket.socket) -> Peer | None:
    """Who has connected, or listens, at the other end; None where the host does not tell."""
    with contextlib.suppress(OSError, AttributeError):
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, uid, _ = _UCRED.unpack(data)
        return Peer(pid, uid) if pid else None
    return None


def accept_trusted(listener: socket.socket) -> socket.socket | None:
    """The connection that waits; None, and it is closed, if it is another user's."""
    connection, _ = listener.accept()
    peer = peer_of(connection)
    if peer is None or peer.is_trusted:
        return connection
    connection.close()
    return None


def connected(path: Path) -> socket.socket:
    """A connection to the socket at ``path``, on which a process of the same user listens.

    Raises:
        InfraError: nobody does, or another user.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        connection.connect(str(path))
        peer = peer_of(connection)
        if peer is not None and not peer.is_trusted:
            raise PermissionError(errno.EPERM, f"user {peer.uid} listens there")
    except OSError as error:
        connection.close()
        raise InfraError(
            f"cannot connect to {path}: {error.strerror}",
            remedy="see that nobody else changes the runtime directory",
        ) from error
    return connection


def credentialed_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets; what is sent to the first carries its sender's process id."""
    ours, theirs = socket.socketpair()
    with contextlib.suppress(OSError, AttributeError):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


def receive(connection: socket.socket, size: int) -> tuple[bytes, Peer | None]:
    """What was sent, and by whom, where a ``credentialed_pair`` tells.

    Raises:
        OSError: see recvmsg(2).
    """
    data, ancillary, _, _ = connection.recvmsg(size, socket.CMSG_SPACE(_UCRED.size))
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            pid, uid, _ = _UCRED.unpack_from(content)
            return data, Peer(pid, uid) if pid else None
    return data, None


def sweep_sockets(workspace: Workspace) -> Iterator[str]:
    """Remove sockets that no process has bound, and say which.

    They are looked up rather than connected to: who connects to the console of a guest
    that is just starting is taken for the guest.

    Raises:
        InfraError: the runtime directory is another user's, or open to others.
    """
    if not os.path.lexists(workspace.runtime):
        return
    workspace.private_runtime()
    sockets = [path for path in sorted(workspace.runtime.rglob("*")) if path.is_socket()]
    if not sockets:
        return
    bound = {str(connection.laddr) for connection in psutil.net_connections("unix")}
    for path in sockets:
        if str(path) not in bound:
            path.unlink(missing_ok=True)
            yield f"removed the socket {path}, which nobody listens on"
