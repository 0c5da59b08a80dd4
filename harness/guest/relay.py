"""Relay process of a kept guest: logs its console and passes input to it.

QEMU could log by itself (``logfile=`` of a chardev), but it logs a byte again whenever the client
reads too slowly (``chardev/char.c``, ``qemu_chr_write_buffer()``: it logs what it tried to write,
then tries again). So the harness passes the guest's console to this program, which runs as a
process of its own and ends with the guest. It imports nothing of the harness, to start fast and
stay small.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import NamedTuple

_CHUNK = 64 * 1024

#: Seconds between two reads: QEMU writes single bytes.
_NAP = 0.004


class RelayLimits(NamedTuple):
    """Limits of a kept guest's console.

    Args:
        total: bytes printed before the relay started.
        keep: size of the log, counted from the beginning of the console; more is dropped.
        end: bytes after which the guest is killed.
        pid: QEMU's process id, which is valid while the console gives output.
    """

    total: int
    keep: int
    end: int
    pid: int


def serve(console: socket.socket, log: Path, entrance: Path, limits: RelayLimits) -> None:
    """Copy the console to ``log`` and input from ``entrance`` to the console, until it ends."""
    total = limits.total
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
                with contextlib.suppress(OSError):  # a full disk must not stall the guest
                    sink.write(said[: max(0, limits.keep - total)])
                total += len(said)
                if total > limits.end:
                    os.kill(limits.pid, signal.SIGKILL)
                    break
                time.sleep(_NAP)
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
    """Return what is there; empty at the end."""
    try:
        return connection.recv(_CHUNK)
    except OSError:
        return b""


def relay_argv(console: int, log: Path, entrance: Path, limits: RelayLimits) -> list[str | Path]:
    """Return the command of a relay whose console is the descriptor ``console``."""
    figures = map(str, limits)
    return [sys.executable, "-I", "-S", __file__, str(console), log, entrance, *figures]


if __name__ == "__main__":
    # Not the current directory, which may be unmounted while the guest runs.
    os.chdir("/")
    serve(
        socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]),
        RelayLimits(*map(int, sys.argv[4:])),
    )  # fmt: skip
