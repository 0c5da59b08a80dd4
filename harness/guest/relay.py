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
import signal
import socket
import sys
import time
from pathlib import Path
from typing import NamedTuple

_CHUNK = 64 * 1024

#: Seconds between two reads: QEMU writes each byte by itself.
_NAP = 0.004


class RelayLimits(NamedTuple):
    """How much a kept guest may print.

    Args:
        total: bytes that it has printed so far.
        keep: bytes from the beginning of its console that its log takes.
        end: bytes after which it is ended.
        pid: QEMU's process; it is not another's as long as something comes from it.
    """

    total: int
    keep: int
    end: int
    pid: int


def serve(console: socket.socket, log: Path, entrance: Path, limits: RelayLimits) -> None:
    """Until the guest ends: what it says into ``log``, what comes by ``entrance`` to it."""
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
                with contextlib.suppress(OSError):  # a full disk is no reason to stall the guest
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
    """What is there; empty for the end."""
    try:
        return connection.recv(_CHUNK)
    except OSError:
        return b""


def relay_argv(console: int, log: Path, entrance: Path, limits: RelayLimits) -> list[str | Path]:
    """The command that serves the console that is open as the descriptor ``console``."""
    figures = map(str, limits)
    return [sys.executable, "-I", "-S", __file__, str(console), log, entrance, *figures]


if __name__ == "__main__":
    # Nobody's working directory: it may be unmounted while the guest runs.
    os.chdir("/")
    serve(
        socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]),
        RelayLimits(*map(int, sys.argv[4:])),
    )  # fmt: skip
