"""Where a guest lives on the host: its files, its socket, and for how long."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.sockets import SOCKET_SUFFIX, sweep_sockets
from harness.host.workspace import Workspace, unique

if TYPE_CHECKING:
    from harness.guest.registry import Claim, KeptGuest, Registry


@dataclass(frozen=True, slots=True)
class GuestDir:
    """A guest's home.

    Args:
        directory: for what it boots from.
        socket: of its console.
        claim: on a lasting place; it is called to keep the guest.
    """

    directory: Path
    socket: Path
    claim: Claim | None = None

    @property
    def channel(self) -> Path:
        """Of its second serial port."""
        return self.socket.with_name(f"{self.socket.name}.check")


@contextlib.contextmanager
def passing_place(workspace: Workspace, name: str) -> Iterator[GuestDir]:
    """For a guest that ends with us."""
    with workspace.scratch("guest") as directory:
        socket = new_socket(workspace, name)
        try:
            yield GuestDir(directory, socket)
        finally:
            socket.unlink(missing_ok=True)


@contextlib.contextmanager
def lasting_place(registry: Registry, guest: KeptGuest) -> Iterator[GuestDir]:
    """For a guest that may be kept; gone with the guest."""
    with registry.claim(guest, os.getpid()) as claim:
        yield GuestDir(claim.directory, guest.socket, claim)


def new_socket(workspace: Workspace, name: str) -> Path:
    """A path that is short, as a socket's must be, and nobody else's.

    Those of guests whose harness was killed go on this occasion.
    """
    runtime = workspace.private_runtime()
    deque(sweep_sockets(workspace), maxlen=0)
    return runtime / f"{name[-40:]}-{unique()}{SOCKET_SUFFIX}"
