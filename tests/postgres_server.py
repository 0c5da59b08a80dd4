"""A real PostgreSQL server on the loopback address, as a user of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from harness.history.url import DatabaseUrl, HistoryLocation

PASSWORD = "correct horse: battery\\staple"
"""With what a file of passwords must escape."""

NOBODY = "nobody"


def program(name: str) -> str:
    """Return the path of one of the server's programs; a host without it fails the test."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(debian[-1]) if debian else shutil.which(name)
    assert found, f"no {name} here: ci/run installs PostgreSQL"
    return found


def as_server(*command: str) -> list[str]:
    """Return a command as another user than root, whom the server refuses."""
    if os.geteuid() != 0:
        return list(command)
    names = {user.pw_name for user in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else NOBODY)
    return [
        "setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--",
        *command,
    ]  # fmt: skip


def quiet_port() -> int:
    """Return a free port below those that connections are given, so that none takes it."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port


@dataclass
class Server:
    """A server.

    Attributes:
        directory: of its data and its socket, which its user can enter.
        port: where it listens.
        address: the address on which it listens.
        settings: of the server.
        before: words before its command.
        process: the server.
    """

    directory: Path
    port: int
    address: str = "127.0.0.1"
    settings: dict[str, str] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    count: int = 0

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def start(self) -> None:
        settings = {
            "listen_addresses": self.address, "port": str(self.port), "fsync": "off",
            "unix_socket_directories": str(self.directory), "max_connections": "60",
            "shared_buffers": "64MB", "timezone": "Asia/Kathmandu", **self.settings,
        }  # fmt: skip
        words = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        log = (self.directory / "log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [*self.before, *as_server(program("postgres"), "-D", str(self.data), *words)],
                stdout=log, stderr=log, start_new_session=True, cwd="/",
            )  # fmt: skip
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        while True:
            assert self.process is not None
            assert self.process.poll() is None, (self.directory / "log").read_text()
            ready = [program("pg_isready"), "-q", "-h", str(self.directory), "-p", str(self.port)]
            if subprocess.run(ready, check=False).returncode == 0:
                return

    def stop(self, signum: int = signal.SIGINT) -> None:
        """End it: by SIGINT at once and orderly; by SIGQUIT as if it had crashed."""
        if self.process is not None:
            self.process.send_signal(signum)
            self.process.wait()
            self.process = None

    def admin(self, database: str = "postgres") -> psycopg.Connection:
        """Return a connection of the superuser."""
        return psycopg.connect(
            host=str(self.directory), port=self.port, user="admin", dbname=database, autocommit=True
        )

    def execute(self, *statements: str, database: str = "postgres") -> None:
        with self.admin(database) as connection:
            for each in statements:
                connection.execute(each)

    def database(self, *options: str, owner: str = "harness") -> DatabaseUrl:
        """Create an empty database, and return its URL."""
        self.count += 1
        name = f"history_{self.count}"
        self.execute(f"CREATE DATABASE {name} OWNER {owner} TEMPLATE template0 {' '.join(options)}")
        return self.url(name, owner)

    def url(self, database: str, user: str = "harness", **parameters: str) -> DatabaseUrl:
        parameters = {"passfile": str(self.passfile()), **parameters}
        pairs = tuple(parameters.items())
        return DatabaseUrl(self.address, self.port, user, database, pairs)

    def passfile(self, password: str = PASSWORD, name: str = "passfile") -> Path:
        """Write a file with the password of all roles."""
        path = self.directory / name
        escaped = password.replace("\\", "\\\\").replace(":", "\\:")
        path.write_text(f"*:*:*:*:{escaped}\n")
        path.chmod(0o600)
        return path


@contextmanager
def postgres_server(
    address: str = "127.0.0.1", before: Sequence[str] = (), certificate: Path | None = None
) -> Iterator[Server]:
    """Yield a server with a role ``harness``, which must give its password.

    Args:
        address: where it listens.
        before: words before its command.
        certificate: file with its certificate and key; None: it does not use TLS.
    """
    directory = Path(tempfile.mkdtemp(prefix="harness-postgres-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            owner = int(as_server("id")[1].partition("=")[2])
            os.chown(directory, owner, -1)
        server = Server(directory, quiet_port(), address, before=list(before))
        made = subprocess.run(
            as_server(
                program("initdb"), "--pgdata", str(server.data), "--username=admin", "--no-sync",
                "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8",
                "--locale=C.UTF-8", "--no-instructions",
            ),
            capture_output=True, check=False, cwd="/",
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        if certificate is not None:
            own = server.data / "server.pem"
            own.write_bytes(certificate.read_bytes())
            os.chown(own, server.data.stat().st_uid, -1)
            own.chmod(0o600)
            tls = {"ssl": "on", "ssl_cert_file": str(own), "ssl_key_file": str(own)}
            server.settings |= tls
        (server.data / "pg_hba.conf").write_text(
            "local all all trust\nhost all all all scram-sha-256\n"
        )
        server.start()
        server.execute(f"CREATE ROLE harness LOGIN PASSWORD {_quoted(PASSWORD)}")
        yield server
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(directory, ignore_errors=True)


def new_history(request: pytest.FixtureRequest, directory: Path) -> HistoryLocation:
    """Return where a new history is, in the kind of database that is the parameter of a fixture."""
    if request.param == "sqlite":
        return directory / "history.sqlite"
    server: Server = request.getfixturevalue("postgres")
    return server.database()


def _quoted(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\") + "'"
