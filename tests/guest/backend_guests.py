"""What tests of the backends share: consoles that listen, specifications, ACPI tables read."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from embedded_guest import Boot

from harness.guest.backend import Backend, Guest, GuestExit
from harness.guest.firmware import find_firmware
from harness.guest.libvirt_domain import LibvirtGuest
from harness.guest.qemu import QemuGuest
from harness.guest.spec import GuestSpec, display_name
from harness.guest.topology import Topology
from harness.host.accelerator import Accelerator
from harness.image.media import EfiDirectory, Media

BACKENDS = ("qemu", "libvirt")

MakeBackend = Callable[[str], Backend]

SECONDS = 60.0
"""Longer than any boot of the built-in guest takes, on whatever host."""


@dataclass
class Console:
    """A listening socket and what the guest has sent to it so far."""

    path: Path
    data: bytearray = field(default_factory=bytearray)
    closed: threading.Event = field(default_factory=threading.Event)

    def serve(self, listener: socket.socket) -> None:
        try:
            with listener.accept()[0] as connection:
                while received := connection.recv(1 << 16):
                    self.data += received
        except OSError:
            pass
        finally:
            self.closed.set()


@contextlib.contextmanager
def listening(path: Path) -> Iterator[Console]:
    console = Console(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        thread = threading.Thread(target=console.serve, args=(listener,))
        thread.start()
        try:
            yield console
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            path.unlink()


def guest_spec(directory: Path, topology: Topology, media: Media, name: str = "test") -> GuestSpec:
    firmware = find_firmware() if isinstance(media, EfiDirectory) else None
    return GuestSpec(name, topology, media, Accelerator.TCG, firmware, directory / "console")


def query(guest: Guest, command: str) -> Any:
    """QEMU's answer, whichever backend has started it."""
    assert isinstance(guest, QemuGuest | LibvirtGuest)
    return guest.query(command)


def boot(backend: Backend, spec: GuestSpec) -> tuple[Boot, GuestExit]:
    """Run a guest to its end."""
    with listening(spec.console_socket) as console:
        guest = backend.start(spec)
        try:
            ended = guest.wait(SECONDS)
            assert ended is not None, bytes(console.data)
            console.closed.wait(SECONDS)
            return Boot(bytes(console.data), ended=True), ended
        finally:
            guest.destroy()


def acpi_table(records: Sequence[dict[str, str]], name: str) -> bytes:
    """The bytes of a table out of the guest's report; empty if the guest has none."""
    parts = [record for record in records if record["name"] == name]
    return b"".join(bytes.fromhex(record["hex"]) for record in parts)


def srat_cpus(srat: bytes) -> dict[int, int]:
    """APIC id to proximity domain (ACPI 6.5, 5.2.16.1)."""
    entries = [body for kind, body in _srat_entries(srat) if kind == 0]
    return {body[3]: body[2] | int.from_bytes(body[9:12], "little") << 8 for body in entries}


def srat_memory(srat: bytes) -> dict[int, int]:
    """Proximity domain to bytes of memory (ACPI 6.5, 5.2.16.2)."""
    memory: dict[int, int] = {}
    for kind, body in _srat_entries(srat):
        if kind != 1:
            continue
        domain, _, _, length, _, flags = struct.unpack_from("<IHQQII", body, 2)
        if flags & 1:
            memory[domain] = memory.get(domain, 0) + length
    return memory


def slit_distances(slit: bytes) -> tuple[tuple[int, ...], ...]:
    """The matrix of distances (ACPI 6.5, 5.2.17)."""
    count = int.from_bytes(slit[36:44], "little")
    return tuple(tuple(slit[44 + i * count : 44 + (i + 1) * count]) for i in range(count))


def _srat_entries(srat: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 48
    while offset < len(srat):
        kind, length = srat[offset], srat[offset + 1]
        yield kind, srat[offset : offset + length]
        offset += length


def plenty() -> int:
    """The built-in guest touches little of the memory it is given."""
    return 1 << 50


def daemons(root: Path) -> list[psutil.Process]:
    return processes("libvirtd", str(root))


def qemus(spec: GuestSpec) -> list[psutil.Process]:
    return processes("qemu-system", display_name(spec.name, spec.console_socket))


def processes(program: str, word: str) -> list[psutil.Process]:
    """The processes of that program whose command line mentions ``word``."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            if command and program in command[0] and word in " ".join(command):
                found.append(process)
    return found


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
