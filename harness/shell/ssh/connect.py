"""Shells on SSH servers; paramiko is an optional extra."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from harness.errors import InfraError

if TYPE_CHECKING:
    from harness.host.clock import Clock
    from harness.shell.ssh.address import SshAddress
    from harness.shell.ssh.shell import SshShell


def ssh_shell(address: SshAddress, clock: Clock, first: str = "") -> SshShell:
    """Return a shell on an SSH server, which is to be connected.

    Args:
        address: the server.
        clock: measures time limits; a guest's counts only time in which it could run.
        first: a command that runs after each login; empty for none.

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
    return SshShell(address, clock, first=first)
