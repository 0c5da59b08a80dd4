"""An OpenSSH server on the loopback address, in a directory of the test's own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from harness.host.clock import Clock, HostClock
from harness.shell.ssh.address import SshAddress
from harness.shell.ssh.keys import KeyPair, make_key
from harness.shell.ssh.shell import SshShell

SECONDS = 60.0
"""Longer than anything here takes, on whatever host."""

PRIVILEGE_SEPARATION = Path("/run/sshd")
"""sshd(8) of Debian insists on it if root runs it."""

CONFIGURATION = """\
ListenAddress 127.0.0.1
HostKey {directory}/host
AuthorizedKeysFile {directory}/authorized
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
MaxStartups 1000
# bash(1) then reads no configuration of the user's, which takes most of a second here.
SetEnv SHLVL=5
Subsystem sftp {sftp}
"""


@dataclass
class SshServer:
    """A server, its keys, and what makes shells on it."""

    directory: Path
    host_key: KeyPair
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    shells: list[SshShell] = field(default_factory=list)

    @property
    def key(self) -> Path:
        return self.directory / "user"

    @property
    def address(self) -> SshAddress:
        user = pwd.getpwuid(os.getuid()).pw_name
        return SshAddress("127.0.0.1", self.port, user, self.host_key.public, self.key)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self, sftp: str = "internal-sftp") -> None:
        """Start it on a free port; another one if that is taken meanwhile."""
        text = CONFIGURATION.format(directory=self.directory, sftp=sftp)
        (self.directory / "configuration").write_text(text)
        program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")
        assert program is not None, "sshd is missing: apt-get install openssh-server"
        for _ in range(10):
            self.port = free_port()
            log = (self.directory / "log").open("wb")
            with log:
                self.process = subprocess.Popen(
                    [program, "-D", "-e", "-f", str(self.directory / "configuration"),
                     "-p", str(self.port)],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )  # fmt: skip
            if self._listens():
                return
            self.process.wait()
        raise AssertionError((self.directory / "log").read_text())

    def _listens(self) -> bool:
        assert self.process is not None
        deadline = time.monotonic() + SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            if b"Server listening" in (self.directory / "log").read_bytes():
                return True
            time.sleep(0.01)
        return False

    def sessions(self) -> list[psutil.Process]:
        """The server's processes but the first, and what they have started."""
        return psutil.Process(self.pid).children(recursive=True)

    def signal_all(self, number: signal.Signals) -> None:
        for process in (psutil.Process(self.pid), *self.sessions()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def stop(self) -> None:
        if self.process is None:
            return
        processes = (
            [psutil.Process(self.pid), *self.sessions()] if self.process.poll() is None else []
        )
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
                process.kill()
        self.process.wait()
        psutil.wait_procs(processes, SECONDS)

    def shell(self, clock: Clock | None = None) -> SshShell:
        """A shell that is not connected; it is closed at the end."""
        shell = SshShell(self.address, clock or HostClock())
        self.shells.append(shell)
        return shell

    def connected(self, clock: Clock | None = None) -> SshShell:
        shell = self.shell(clock)
        shell.connect()
        return shell


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def ssh_server(directory: Path, sftp: str = "internal-sftp") -> Iterator[SshServer]:
    if os.geteuid() == 0:
        PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    host, user = make_key(), make_key()
    host.write(directory / "host")
    user.write(directory / "user")
    (directory / "authorized").write_text(f"{user.public}\n")
    server = SshServer(directory, host)
    try:
        server.start(sftp)
        yield server
    finally:
        for shell in server.shells:
            shell.close()
        server.stop()
