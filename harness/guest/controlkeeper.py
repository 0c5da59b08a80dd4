"""Process that holds the control connection of a kept guest, and lends it.

A client that connects to its socket is sent the connection's descriptor, and owns QEMU's monitor
until it disconnects, however it ends. Then this process closes the gdb stub that the client may
have opened, so that the guest runs as before. It imports nothing of the harness, to start fast and
stay small.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import time
from pathlib import Path

_CHUNK = 64 * 1024

#: Most seconds for each part of the work after a client.
_SECONDS = 5.0

#: gdb's packet ``D`` for process 1, which removes breakpoints and resumes the guest (gdb's manual,
#: "Packets"). Without a process, QEMU refuses it after a gdb that knows of several.
_DETACH = b"+$D;1#b0"

_STUB = "harness-gdb"  # the name in harness.debug.stub


def serve(control: socket.socket, door: Path, stub: Path) -> None:
    """Lend ``control`` to one client after another at the socket ``door``, until QEMU exits."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(door))
        listener.listen()
        while True:
            ready, _, _ = select.select([control, listener], [], [])
            if listener in ready:
                _lend(control, listener, stub)
            elif not _read(control):
                break
    door.unlink(missing_ok=True)


def _lend(control: socket.socket, listener: socket.socket, stub: Path) -> None:
    client, _ = listener.accept()
    with client:
        with contextlib.suppress(OSError):  # the client has ended
            socket.send_fds(client, [b"\n"], [control.fileno()])
        while True:
            ready, _, _ = select.select([client, listener], [], [])
            if client in ready and not _read(client):
                break
            if listener in ready:
                listener.accept()[0].close()  # it is lent
        if stub.exists():
            _close_stub(control, stub)


def _close_stub(control: socket.socket, path: Path) -> None:
    """Detach from the stub as gdb would, and remove it."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as stub:
        stub.settimeout(_SECONDS)
        stub.connect(str(path))
        stub.sendall(_DETACH)
        _await(stub, b"OK#")
    path.unlink(missing_ok=True)
    number = int.from_bytes(os.urandom(6))
    messages = (
        _command(0, "human-monitor-command", {"command-line": "gdbserver none"}),
        _command(0, "cont", {}),  # where the stub did not answer
        _command(number, "chardev-remove", {"id": _STUB}),
    )
    with contextlib.suppress(OSError):
        control.sendall(b"".join(messages))
        _await(control, str(number).encode())


def _command(number: int, name: str, arguments: dict[str, str]) -> bytes:
    return json.dumps({"execute": name, "arguments": arguments, "id": number}).encode() + b"\n"


def _await(connection: socket.socket, text: bytes) -> None:
    """Read until ``text`` was received, or the time is over."""
    until = time.monotonic() + _SECONDS
    received = b""
    while text not in received and (left := until - time.monotonic()) > 0:
        if not select.select([connection], [], [], left)[0]:
            return
        more = _read(connection)
        if not more:
            return
        received = received[-len(text) :] + more


def _read(connection: socket.socket) -> bytes:
    """Return what is there; empty at the end."""
    try:
        return connection.recv(_CHUNK)
    except OSError:
        return b""


def keeper_argv(control: int, door: Path, stub: Path) -> list[str | Path]:
    """Return the command of a keeper whose connection to QEMU is the descriptor ``control``."""
    return [sys.executable, "-I", "-S", __file__, str(control), door, stub]


if __name__ == "__main__":
    # Not the current directory, which may be unmounted while the guest runs.
    os.chdir("/")
    serve(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]))
