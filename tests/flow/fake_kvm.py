"""A QEMU whose KVM is TCG, though it says otherwise over QMP: a program of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

QEMU = "qemu-system-x86_64"


def install(folder: Path, cpu: str = "max") -> str:
    """Put it into a folder; gives a PATH in which it comes first.

    Each guest under that KVM has this CPU.
    """
    from command import script  # which the program itself cannot import

    return script(folder, QEMU, f'exec {command(cpu)} "$@"\n')


def command(cpu: str = "max") -> str:
    """What runs it, for a shell; QEMU's arguments follow."""
    return f"{sys.executable} {__file__} {shutil.which(QEMU)} '{cpu}'"


def main(qemu: str, cpu: str, words: list[str]) -> int:
    if "kvm" not in words:
        os.execv(qemu, [qemu, *words])  # noqa: S606 - no shell is wanted
    control, ours = None, socket.socket(socket.AF_UNIX)
    argv = [qemu]
    for word in words:
        other = {"kvm": "tcg,thread=multi", "host": cpu}.get(word, word)
        if other.startswith("socket,id=control,"):
            control = other.partition("path=")[2].partition(",")[0]
            other = other.replace(control, f"{control}.q")
            ours.bind(f"{control}.q")
            ours.listen(1)
        argv.append(other)
    if control is None:
        os.execv(qemu, argv)  # noqa: S606 - no shell is wanted
    process = subprocess.Popen(argv)
    theirs = socket.socket(socket.AF_UNIX)
    theirs.connect(control)
    inner, _ = ours.accept()
    os.unlink(f"{control}.q")
    threading.Thread(target=pump, args=(theirs, inner), daemon=True).start()
    pump(inner, theirs)
    return process.wait()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data.replace(b'"enabled": false', b'"enabled": true'))
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
