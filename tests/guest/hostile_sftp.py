"""An SSH server whose SFTP lies: paramiko's, which answers as a test says."""

from __future__ import annotations

import contextlib
import socket
import stat
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paramiko
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from paramiko.sftp import SFTP_FAILURE, SFTP_NO_SUCH_FILE
from ssh_server import SECONDS

from harness.shell.ssh.address import SshAddress
from harness.shell.ssh.keys import make_key


@dataclass
class Entry:
    """A file, a directory or a link, as the server describes it."""

    mode: int = stat.S_IFREG | 0o644
    content: bytes = b""
    endless: bool = False
    leads_to: str = ""
    entries: Mapping[str, Entry] = field(default_factory=dict)

    def attributes(self, name: str) -> paramiko.SFTPAttributes:
        found = paramiko.SFTPAttributes()
        found.st_mode, found.st_size, found.filename = self.mode, len(self.content), name
        found.st_atime = found.st_mtime = 0
        return found


def directory(**entries: Entry) -> Entry:
    return Entry(stat.S_IFDIR | 0o755, entries=entries)


def listing(entries: Mapping[str, Entry]) -> Entry:
    return Entry(stat.S_IFDIR | 0o755, entries=entries)


def link(leads_to: str) -> Entry:
    return Entry(stat.S_IFLNK | 0o777, leads_to=leads_to)


class _Handle(paramiko.SFTPHandle):
    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self._entry = entry

    def read(self, offset: int, length: int) -> bytes | int:
        if self._entry.endless:
            return b"\xaa" * length
        return self._entry.content[offset : offset + length]

    def write(self, offset: int, data: Any) -> int:
        return SFTP_FAILURE

    def stat(self) -> paramiko.SFTPAttributes:
        return self._entry.attributes("")


class _Server(paramiko.ServerInterface):
    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED


def _sftp(top: Entry) -> type[paramiko.SFTPServerInterface]:
    class Lies(paramiko.SFTPServerInterface):
        def _found(self, path: str) -> Entry | None:
            found = top
            for name in path.strip("/").split("/"):
                if name not in found.entries:
                    return None
                found = found.entries[name]
            return found

        def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
            found = self._found(path)
            if found is None:
                return SFTP_NO_SUCH_FILE
            return [entry.attributes(name) for name, entry in found.entries.items()]

        def lstat(self, path: str) -> paramiko.SFTPAttributes | int:
            found = self._found(path)
            return SFTP_NO_SUCH_FILE if found is None else found.attributes(path)

        stat = lstat

        def open(
            self, path: str, flags: int, attr: paramiko.SFTPAttributes
        ) -> paramiko.SFTPHandle | int:
            return _Handle(self._found(path) or Entry())

        def readlink(self, path: str) -> str | int:
            found = self._found(path)
            return SFTP_NO_SUCH_FILE if found is None else found.leads_to

    return Lies


@contextlib.contextmanager
def hostile_server(top: Entry, key: Path) -> Iterator[SshAddress]:
    """Serve one connection; ``top`` is the root directory."""
    host = make_key()
    host.write(key.with_name("host-of-hostile"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            transport = paramiko.Transport(connection)
            transport.add_server_key(
                paramiko.Ed25519Key(filename=str(key.with_name("host-of-hostile")))
            )
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _sftp(top))
            with contextlib.suppress(paramiko.SSHException, EOFError):
                transport.start_server(server=_Server())
                held = []
                while transport.is_active():
                    held.append(transport.accept(0.1))
            transport.close()
            transport.join(SECONDS)
            transport.packetizer.complete_handshake()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            port = listener.getsockname()[1]
            yield SshAddress("127.0.0.1", port, "root", host.public, key)
        finally:
            thread.join(SECONDS)
            assert not thread.is_alive()
