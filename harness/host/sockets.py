"""Unix sockets: who is at the other end, and those that nobody listens on."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from harness.host.workspace import Workspace

SOCKET_SUFFIX: Final = ".console"


_UCRED: Final = struct.Struct("iII")  # pid, uid, gid: struct ucred, unix(7)


def peer_process(connection: socket.socket) -> int | None:
    """The process that has connected to a unix socket; None where the host does not tell."""
    with contextlib.suppress(OSError, AttributeError):
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid: int = _UCRED.unpack(data)[0]
        return pid or None
    return None


def sweep_sockets(workspace: Workspace) -> Iterator[str]:
    """Remove sockets that no process has bound, and say which.

    They are looked up rather than connected to: who connects to the console of a guest
    that is just starting is taken for the guest.
    """
    sockets = [path for path in sorted(workspace.runtime.rglob("*")) if path.is_socket()]
    if not sockets:
        return
    bound = {str(connection.laddr) for connection in psutil.net_connections("unix")}
    for path in sockets:
        if str(path) not in bound:
            path.unlink(missing_ok=True)
            yield f"removed the socket {path}, which nobody listens on"
