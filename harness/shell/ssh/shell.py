"""Commands and files in a guest over SSH.

``SshShell`` stands on paramiko, which has single packets, channels and requests: bounded memory,
limits by the guest's clock and an end within a second need those. fabric, whose ``run`` keeps all
output and whose ``Transfer`` believes the server, is the interface for programs of users
(``harness.shell.ssh.fabric``), on a connection with the same checks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from harness.shell.received import USUAL_RECEIVE_LIMITS, ReceiveLimits
from harness.shell.shell import ShellRefusedError
from harness.shell.ssh.command import CommandRun
from harness.shell.ssh.files import SftpFiles, open_sftp
from harness.shell.ssh.link import SshLink
from harness.shell.ssh.tar import TarFiles

if TYPE_CHECKING:
    from harness.host.clock import Clock
    from harness.shell.shell import Completed, OutputSink
    from harness.shell.ssh.address import SshAddress


_FIRST_SECONDS: Final = 60.0
"""Timeout of the first command."""


class SshShell:
    """A shell on an SSH server; see ``Shell``. One connection serves all commands.

    Nothing of the user's is read: no configuration, no known hosts, no agent.

    Args:
        address: the server.
        clock: measures time limits; a guest's counts only time in which it could run.
        limits: of what ``get`` takes.
        first: a command that runs after the login; empty for none.
    """

    def __init__(
        self, address: SshAddress, clock: Clock, limits: ReceiveLimits = USUAL_RECEIVE_LIMITS,
        first: str = "",
    ) -> None:  # fmt: skip
        self._link = SshLink(address, clock)
        self._limits = limits
        self._first = first
        self._files: SftpFiles | TarFiles | None = None

    def connect(self) -> None:
        """Connect and log in.

        Raises:
            ShellError: the server cannot be reached, is not the known one, or refuses the key; or
                the first command fails.
            InfraError: the key cannot be used.
        """
        self._link.connect()
        if self._first:
            done = self.run(self._first, timeout=_FIRST_SECONDS)
            if done.status != 0:
                words = done.stderr.decode("utf-8", "replace").strip()
                raise ShellRefusedError(f"{self._first}: {words or 'failed'}")

    def run(
        self, command: str, *, timeout: float | None = None, stdin: bytes = b"",
        sink: OutputSink | None = None,
    ) -> Completed:  # fmt: skip
        """See ``Shell``."""
        return CommandRun(self._link, sink, (stdin,), timeout).run(command)

    def put(self, source: Path, target: PurePosixPath) -> None:
        """See ``Shell``. A file replaces another; a directory must not exist in the guest.

        Raises:
            UsageError: ``target`` has no last name.
        """
        with self._transfer() as files:
            files.put(source, target)

    def get(self, source: PurePosixPath, target: Path) -> None:
        """See ``Shell``. A file replaces another, a directory an empty one only.

        Raises:
            ShellDataError: the guest sent what is not taken.
        """
        with self._transfer() as files:
            files.get(source, target, self._limits)

    def close(self) -> None:
        """See ``Shell``: waits for the connection's threads."""
        self._link.close()

    @contextlib.contextmanager
    def _transfer(self) -> Iterator[SftpFiles | TarFiles]:
        """Yield an SFTP session, or what does without; a failure ends the session."""
        if self._files is None:
            try:
                self._files = open_sftp(self._link)
            except ShellRefusedError:
                self._files = TarFiles(self._link)
        try:
            yield self._files
        except BaseException:
            files, self._files = self._files, None
            files.close()
            raise
