"""Unix sockets: credentials of peers, and removal of stale sockets."""

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

from harness.errors import InfraError
from harness.host.procfs import bound_sockets

if TYPE_CHECKING:
    from harness.host.workspace import Workspace

SOCKET_SUFFIX: Final = ".console"


_SEND_BUFFER: Final = 1 << 20
"""Bytes; the host may allow fewer. QEMU sends a console byte by byte, and Linux accounts about 768
bytes for each, so a read from the default buffer returns at most 277 bytes of console."""

_UCRED: Final = struct.Struct("iII")  # pid, uid, gid: struct ucred, unix(7)


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end of a unix socket."""

    pid: int
    uid: int

    @property
    def is_trusted(self) -> bool:
        """Whether it belongs to this user or to root."""
        return self.uid in (0, os.geteuid())


def peer_of(connection: socket.socket) -> Peer | None:
    """Return the process at the other end of a connection; None if the host does not report it."""
    with contextlib.suppress(OSError, AttributeError):
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, uid, _ = _UCRED.unpack(data)
        return Peer(pid, uid) if pid else None
    return None


def accept_trusted(listener: socket.socket) -> socket.socket | None:
    """Accept a connection; close it and return None if the peer is another user."""
    connection, _ = listener.accept()
    peer = peer_of(connection)
    if peer is None or peer.is_trusted:
        return connection
    connection.close()
    return None


def connected(path: Path) -> socket.socket:
    """Return a connection to the socket ``path``, on which this user or root listens.

    Raises:
        InfraError: no process listens there, or one of another user.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        connection.connect(str(path))
        peer = peer_of(connection)
        if peer is not None and not peer.is_trusted:
            raise PermissionError(errno.EPERM, f"user {peer.uid} listens on it")
    except OSError as error:
        connection.close()
        raise InfraError(
            f"cannot connect to {path}: {error.strerror}",
            remedy=f"list its owner and mode: ls -ld {path.parent} {path}",
        ) from error
    return connection


def credentialed_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets; messages to the first carry the sender's process ID."""
    ours, theirs = socket.socketpair()
    with contextlib.suppress(OSError, AttributeError):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


def receive(connection: socket.socket, size: int) -> tuple[bytes, Peer | None]:
    """Return the data received, and its sender if a ``credentialed_pair`` provides it.

    Raises:
        OSError: recvmsg(2) failed.
    """
    data, ancillary, _, _ = connection.recvmsg(size, socket.CMSG_SPACE(_UCRED.size))
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            pid, uid, _ = _UCRED.unpack_from(content)
            return data, Peer(pid, uid) if pid else None
    return data, None


def sweep_sockets(workspace: Workspace) -> Iterator[str]:
    """Remove sockets that no process has bound, and generate a line for each.

    The kernel's table of sockets is searched. Connecting to test a socket would be wrong: the
    harness takes the first connection to the console of a starting guest for the guest's.

    Raises:
        InfraError: the runtime directory belongs to another user, or others can enter it.
    """
    if not os.path.lexists(workspace.runtime):
        return
    workspace.private_runtime()
    sockets = [path for path in sorted(workspace.runtime.rglob("*")) if path.is_socket()]
    if not sockets:
        return
    bound = bound_sockets()
    for path in sockets:
        if str(path) not in bound:
            path.unlink(missing_ok=True)
            yield f"removed stale socket {path}"
