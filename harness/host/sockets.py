"""The sockets of guests' consoles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from harness.host.workspace import Workspace

SOCKET_SUFFIX: Final = ".console"


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
