"""The monitor of a kept guest, lent by the guest's ``controlkeeper``."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from harness.errors import InfraError, UsageError
from harness.guest.qmp import ControlChannel
from harness.host.sockets import connected

if TYPE_CHECKING:
    from harness.guest.registry import KeptGuest
    from harness.host.clock import Clock

_SECONDS: Final = 10.0
"""Timeout of the loan."""

_RETURN_SECONDS: Final = 30.0
"""Timeout of its end; the keeper detaches from QEMU's gdb stub meanwhile."""


@contextlib.contextmanager
def lent_monitor(guest: KeptGuest, clock: Clock) -> Iterator[ControlChannel]:
    """Yield the monitor of a kept guest; nobody else has it within the context.

    A gdb stub that was opened at ``KeptGuest.stub`` is closed at the end, and the guest resumed,
    also if this process is killed.

    Raises:
        UsageError: another process has it, or an older version of the harness kept the guest.
        InfraError: QEMU has ended.
    """
    if not guest.door.exists():
        raise UsageError(
            f"{guest.name} was kept by a harness that does not lend its monitor",
            remedy="boot it again with --keep",
        )
    with connected(guest.door) as connection:
        connection.settimeout(_SECONDS)
        yield from _lent(guest, connection, clock)


def _lent(guest: KeptGuest, connection: socket.socket, clock: Clock) -> Iterator[ControlChannel]:
    try:
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
    except OSError as error:
        raise InfraError(
            f"the monitor of {guest.name} was not lent: {error.strerror or error}",
            remedy="check that the guest still runs: harness ps",
        ) from error
    if not descriptors:
        raise UsageError(
            f"another harness uses the monitor of {guest.name}",
            remedy="close its gdb, or wait until it has ended",
        )
    for one in descriptors[1:]:
        os.close(one)
    channel = ControlChannel.taken_over(socket.socket(fileno=descriptors[0]), clock)
    try:
        yield channel
    finally:
        channel.close()
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(_RETURN_SECONDS)
            connection.recv(1)
