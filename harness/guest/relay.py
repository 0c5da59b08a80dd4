"""Stays with a kept guest: adds its console to the log, and lets people type.

QEMU could log by itself (``logfile=`` of a chardev), but it writes a byte into the log again
whenever whoever is connected reads too slowly (``chardev/char.c``, ``qemu_chr_write_buffer()``:
what was tried is logged, then tried again). So the harness hands the guest's console to this
program, which starts as a process of its own and ends with the guest. It imports nothing of the
harness, so that it is up at once and small.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
from pathlib import Path

_CHUNK = 64 * 1024


def serve(console: socket.socket, log: Path, entrance: Path) -> None:
    """Until the guest ends: what it says into ``log``, what comes by ``entrance`` to it."""
    with log.open("ab", buffering=0) as sink, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(entrance))
        listener.listen()
        typists: list[socket.socket] = []
        while True:
            ready, _, _ = select.select([console, listener, *typists], [], [])
            if console in ready:
                said = _read(console)
                if not said:
                    break
                with contextlib.suppress(OSError):  # a full disk is no reason to stall the guest
                    sink.write(said)
            if listener in ready:
                typists.append(listener.accept()[0])
            for typist in [one for one in typists if one in ready]:
                typed = _read(typist)
                if not typed:
                    typists.remove(typist)
                    typist.close()
                with contextlib.suppress(OSError):
                    console.send(typed, socket.MSG_DONTWAIT)
    entrance.unlink(missing_ok=True)


def _read(connection: socket.socket) -> bytes:
    """What is there; empty for the end."""
    try:
        return connection.recv(_CHUNK)
    except OSError:
        return b""


def relay_argv(console: int, log: Path, entrance: Path) -> list[str | Path]:
    """The command that serves the console that is open as the descriptor ``console``."""
    return [sys.executable, "-I", "-S", __file__, str(console), log, entrance]


if __name__ == "__main__":
    # Nobody's working folder: it may be unmounted while the guest runs.
    os.chdir("/")
    serve(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]))
