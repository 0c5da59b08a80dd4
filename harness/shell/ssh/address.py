"""SSH servers of guests, and shells on them; paramiko is an optional extra."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import InfraError

if TYPE_CHECKING:
    from harness.host.clock import Clock
    from harness.shell.ssh.shell import SshShell


@dataclass(frozen=True, slots=True)
class SshAddress:
    """An SSH server, and what is known of it beforehand.

    Args:
        host: its IPv4 address.
        port: its TCP port.
        user: the account.
        host_key: the public line of its host key; a server with another is refused.
        key: the file of the account's private key, which only its owner can read.
    """

    host: str
    port: int
    user: str
    host_key: str
    key: Path

    @property
    def name(self) -> str:
        """The server in messages."""
        return f"{self.host}:{self.port}"


def ssh_shell(address: SshAddress, clock: Clock) -> SshShell:
    """Return a shell on an SSH server, which is to be connected.

    Args:
        address: the server.
        clock: measures time limits; a guest's counts only time in which it could run.

    Raises:
        InfraError: paramiko is not installed.
    """
    try:
        from harness.shell.ssh.shell import SshShell
    except ImportError as error:
        raise InfraError(
            f"SSH to guests is not usable: {error}",
            remedy=f"install paramiko: {sys.executable} -m pip install 'harness[ssh]'",
        ) from error
    return SshShell(address, clock)
