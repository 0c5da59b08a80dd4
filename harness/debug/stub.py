"""QEMU's gdb stub, opened in a running guest.

QEMU can neither reach the runtime directory nor bind a socket there, because it runs as another
user. It is therefore given a socket that already listens, in a private directory.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.errors import InfraError

if TYPE_CHECKING:
    from harness.guest.qmp import Monitor

_NAME: Final = "harness-gdb"


def stub_socket(console_socket: Path) -> Path:
    """Return the path of a guest's stub, beside its console's socket."""
    return console_socket.with_name(f"{console_socket.name}.gdb")


def open_stub(monitor: Monitor, path: Path) -> None:
    """Open the stub of a guest at the socket ``path``.

    Connecting to it stops the guest, and closing the stub does not resume it.

    Raises:
        InfraError: the socket cannot be created, or QEMU refuses.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            path.unlink(missing_ok=True)
            listener.bind(str(path))
            listener.listen(1)
        except OSError as error:
            raise InfraError(
                f"cannot listen on {path}: {error.strerror}",
                remedy="check that the directory exists, is writable and has free space",
            ) from error
        monitor.query("getfd", {"fdname": _NAME}, descriptor=listener.fileno())
    address = {"type": "fd", "data": {"str": _NAME}}
    data = {"addr": address, "server": True, "wait": False}
    backend = {"type": "socket", "data": data}
    monitor.query("chardev-add", {"id": _NAME, "backend": backend})
    command = {"command-line": f"gdbserver chardev:{_NAME}"}
    answer = str(monitor.query("human-monitor-command", command))
    if "Waiting for gdb connection" not in answer:
        raise InfraError(
            f"QEMU does not open its gdb stub: {answer.strip()[:200]}",
            remedy="run it again; harness doctor lists what this host lacks",
        )


def close_stub(monitor: Monitor) -> None:
    """Close the stub, if it is open.

    Raises:
        InfraError: QEMU has ended or does not answer.
    """
    monitor.query("human-monitor-command", {"command-line": "gdbserver none"})
    monitor.query("chardev-remove", {"id": _NAME})
