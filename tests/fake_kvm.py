"""A program that runs QEMU with TCG, but reports KVM over QMP."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

QEMU = "qemu-system-x86_64"


PROBED = """
case "$*" in
*"-accel tcg"*-debugcon*) printf '<'; sleep 0.2; printf 'mprcsfito>'; exit 0;;
*"-accel kvm"*-debugcon*) {probe};;
esac
{guest}
exec {fake_kvm} "$@"
"""
"""The probe prints what the test sets; guests under "KVM" run under TCG."""

GOOD = "printf '<mprcsfito>'; exit 0"
BAD = "printf '<mpR'; sleep 1000"


def install_probed(directory: Path, probe: str, guest: str = "", fake_kvm: str = "") -> str:
    """Install the program with a probe; the guests run by ``fake_kvm``."""
    from command import script  # which the program itself cannot import

    return script(directory, QEMU, PROBED.format(probe=probe, guest=guest,
                                              fake_kvm=fake_kvm or command()))  # fmt: skip


def install(directory: Path, cpu: str = "max") -> str:
    """Write it to a directory; return a PATH in which it comes first.

    Each guest under that KVM has this CPU.
    """
    from command import script  # which the program itself cannot import

    return script(directory, QEMU, f'exec {command(cpu)} "$@"\n')


def command(cpu: str = "max", python: str = sys.executable, file: str = __file__) -> str:
    """Return its shell command; QEMU's arguments follow."""
    return f"{python} {file} {shutil.which(QEMU)} '{cpu}'"


def main(qemu: str, cpu: str, words: list[str]) -> int:
    if "kvm" not in words:
        os.execv(qemu, [qemu, *words])  # noqa: S606 - no shell is wanted
    control = None
    inner, qemus = socket.socketpair()
    argv = [qemu]
    for word in words:
        other = {"kvm": "tcg,thread=multi", "host": cpu}.get(word, word)
        if other.startswith("socket,id=control,"):
            control = int(other.partition("fd=")[2])
            other = f"socket,id=control,fd={qemus.fileno()}"
        argv.append(other)
    if control is None:
        os.execv(qemu, argv)  # noqa: S606 - no shell is wanted
    # All descriptors but the harness's end of the control protocol are QEMU's.
    theirs = socket.socket(fileno=control)
    theirs.set_inheritable(False)
    qemus.set_inheritable(True)
    process = subprocess.Popen(argv, close_fds=False)
    qemus.close()
    close_serial_ports(words)
    threading.Thread(target=pump, args=(theirs, inner), daemon=True).start()
    pump(inner, theirs)
    return process.wait()


def close_serial_ports(words: list[str]) -> None:
    """Close the serial ports, so that only QEMU holds them."""
    for word in words:
        if word.startswith("socket,id=serial"):
            os.close(int(word.partition("fd=")[2]))


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data.replace(b'"enabled": false', b'"enabled": true'))
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
