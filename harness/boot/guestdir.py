"""A guest's directory and socket on the host, and their lifetime."""

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
    """A guest's directory and socket.

    Args:
        directory: holds its media.
        socket: its console's socket.
        claim: its registry entry, with which the guest is kept; None for a guest that is not.
    """

    directory: Path
    socket: Path
    claim: Claim | None = None

    @property
    def channel(self) -> Path:
        """The socket of its second serial port."""
        return self.socket.with_name(f"{self.socket.name}.check")


@contextlib.contextmanager
def temporary_guest_dir(workspace: Workspace, name: str) -> Iterator[GuestDir]:
    """Yield a directory for a guest that ends with the harness."""
    with workspace.scratch("guest") as directory:
        socket = new_socket(workspace, name)
        try:
            yield GuestDir(directory, socket)
        finally:
            socket.unlink(missing_ok=True)


@contextlib.contextmanager
def kept_guest_dir(registry: Registry, guest: KeptGuest) -> Iterator[GuestDir]:
    """Yield a directory for a guest that may be kept; it is removed with the guest."""
    with registry.claim(guest, os.getpid()) as claim:
        yield GuestDir(claim.directory, guest.socket, claim)


def new_socket(workspace: Workspace, name: str) -> Path:
    """Return a short, unique path for a socket.

    Also removes the sockets of guests whose harness was killed.
    """
    runtime = workspace.private_runtime()
    deque(sweep_sockets(workspace), maxlen=0)
    return runtime / f"{name[-40:]}-{unique()}{SOCKET_SUFFIX}"
