"""Connections to SSH servers: the known one, and all others that there can be."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from leaks import nothing_leaked
from ssh_server import SECONDS, SshServer, free_port, ssh_server

from harness.errors import InfraError
from harness.host.clock import Clock, HostClock, ManualClock
from harness.shell.shell import ShellError, ShellLostError, ShellRefusedError
from harness.shell.ssh.address import SshAddress
from harness.shell.ssh.errors import fingerprint, host_key_blob
from harness.shell.ssh.keys import KeyPair, make_key
from harness.shell.ssh.shell import SshShell

Handler = Callable[[socket.socket], None]


class PushedClock(ManualClock):
    """A clock that goes on by ``step`` seconds at each look."""

    step = 0.0

    def monotonic(self) -> float:
        self.sleep(self.step)
        return super().monotonic()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with nothing_leaked(), ssh_server(tmp_path_factory.mktemp("sshd")) as one:
        yield one


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_key().write(tmp_path / "key")
    return tmp_path / "key"


@contextlib.contextmanager
def scripted(handler: Handler) -> Iterator[int]:
    """A port with a server that does as it is told to one connection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    handler(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(SECONDS)
            assert not thread.is_alive()


def connect(address: SshAddress, clock: Clock | None = None) -> Exception:
    """The error of a connection that nothing remains of."""
    with nothing_leaked():
        shell = SshShell(address, clock or HostClock())
        with pytest.raises((ShellError, InfraError)) as refused:
            shell.connect()
    return refused.value


def connect_to(handler: Handler, key: Path, clock: Clock | None = None) -> Exception:
    with scripted(handler) as port:
        return connect(SshAddress("127.0.0.1", port, "root", make_key().public, key), clock)


def until_closed(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


# The known server


def test_another_host_key_is_refused_with_both_fingerprints(server: SshServer) -> None:
    other = make_key()
    error = connect(replace(server.address, host_key=other.public))
    assert isinstance(error, ShellRefusedError)
    for key in (server.host_key, other):
        assert fingerprint(host_key_blob(key.public)) in str(error)


def test_a_key_that_the_server_does_not_know_is_refused(server: SshServer, key: Path) -> None:
    error = connect(replace(server.address, key=key))
    assert isinstance(error, ShellRefusedError)
    assert "refuses the key" in str(error)


@pytest.mark.parametrize("line", ["", "ssh-ed25519", "ssh-ed25519 !!", "ssh-rsa AAAA"])
def test_a_known_host_key_that_is_none_is_refused(server: SshServer, line: str) -> None:
    assert "is no ssh-ed25519 key" in str(connect(replace(server.address, host_key=line)))


def test_a_key_file_that_others_can_read_is_refused(server: SshServer, key: Path) -> None:
    key.chmod(0o640)
    assert "chmod 600" in str(connect(replace(server.address, key=key)))


def test_nothing_of_the_users_is_used(
    server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Path
) -> None:
    """No agent, no known hosts, no configuration: a wrong key stays wrong, a good one good."""
    configuration = tmp_path / ".ssh"
    configuration.mkdir(mode=0o700)
    words = f"[127.0.0.1]:{server.port} {make_key().public}\n"
    (configuration / "known_hosts").write_text(words)
    (configuration / "config").write_text(
        f"Host *\n IdentityFile {server.key}\n ProxyCommand false\n"
    )
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        agent.listen()
        agent.settimeout(0)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        monkeypatch.setenv("HOME", str(tmp_path))
        assert server.connected().run("true").succeeded
        assert isinstance(connect(replace(server.address, key=key)), ShellRefusedError)
        with pytest.raises(BlockingIOError):
            agent.accept()
    assert (configuration / "known_hosts").read_text() == words


def test_the_algorithms_are_the_modern_ones(server: SshServer) -> None:
    shell = server.connected()
    transport = shell._link.transport
    assert "curve25519" in str(transport.get_security_options().kex)
    assert transport.host_key_type == "ssh-ed25519"
    assert "aes" in transport.local_cipher
    assert "sha2" in str(transport.local_mac) or "gcm" in transport.local_cipher


# Other servers


def test_nothing_listens(key: Path) -> None:
    error = connect(SshAddress("127.0.0.1", free_port(), "root", make_key().public, key))
    assert isinstance(error, ShellLostError)
    assert "has no server" in str(error)


def test_a_port_that_accepts_and_then_resets_has_no_server(key: Path) -> None:
    """QEMU's user networking does so before the guest listens."""

    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert isinstance(connect_to(reset, key), ShellLostError)
    error = connect_to(lambda _: None, key)
    assert isinstance(error, ShellLostError)
    assert "closed the connection before its SSH version" in str(error)


def test_another_service_is_named_by_what_it_sent(key: Path) -> None:
    def mail(connection: socket.socket) -> None:
        connection.sendall(b"220 mail\x1b[2J ESMTP\r\n" * 1000)
        until_closed(connection)

    error = connect_to(mail, key)
    assert isinstance(error, ShellRefusedError)
    assert r"is no SSH server: it sent '220 mail\x1b[2J" in str(error)


@pytest.mark.parametrize(
    "piece", [b"x" * 65536, b"welcome\r\n" * 7000, b"\n" * 65536, b"SSH-" * 16384]
)
def test_an_endless_banner_ends_soon(key: Path, piece: bytes) -> None:
    sent = []

    def talk(connection: socket.socket) -> None:
        while True:
            connection.sendall(piece)
            sent.append(len(piece))

    assert isinstance(connect_to(talk, key), ShellRefusedError)
    assert sum(sent) < 1 << 27


def test_a_server_may_send_lines_before_its_version(server: SshServer) -> None:
    """RFC 4253, 4.2. What comes is passed on to a real server."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"Not allowed at this time, but\r\nread on\r\n")
        with socket.create_connection(("127.0.0.1", server.port)) as real:
            back = threading.Thread(target=_pass_on, args=(real, connection))
            back.start()
            _pass_on(connection, real)
            back.join()

    with scripted(talk) as port:
        shell = SshShell(replace(server.address, port=port), HostClock())
        shell.connect()
        assert shell.run("echo hello").stdout == b"hello\n"
        shell.close()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("after", [b"", b"SSH-2.0-silent\r\n"])
def test_a_server_that_stops_answering_is_given_up_by_the_guests_clock(
    key: Path, after: bytes
) -> None:
    clock = PushedClock()

    def stop(connection: socket.socket) -> None:
        connection.sendall(after)
        clock.step = 10
        until_closed(connection)

    error = connect_to(stop, key, clock)
    assert isinstance(error, ShellLostError)
    assert "did not answer within 120 s" in str(error)


@pytest.mark.parametrize("after", [b"", b"SSH-2.0-silent\r\n"])
def test_closing_interrupts_a_handshake(key: Path, after: bytes) -> None:
    with nothing_leaked(), contextlib.ExitStack() as held:

        def stop(connection: socket.socket) -> None:
            connection.sendall(after)
            closer.start()
            until_closed(connection)

        port = held.enter_context(scripted(stop))
        shell = SshShell(SshAddress("127.0.0.1", port, "root", make_key().public, key), HostClock())
        closer = threading.Thread(target=shell.close)
        with pytest.raises(ShellLostError, match="was closed"):
            shell.connect()
        closer.join()
        with pytest.raises(ShellLostError, match="was closed"):
            shell.connect()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"SSH-1.5-old\r\n", "1.5 instead of 2.0"),
        (b"SSH-2.0-x\r\n\x7f\xff\xff\xfc" + bytes(64), "sent a packet of 2147483"),
        (b"SSH-2.0-x\r\n" + bytes(4096), "closed the connection"),
        (b"SSH-2.0-x\r\n" + b"\0\0\0\x0c\x0a\x14" + bytes(10), "no algorithm in common"),
    ],
)
def test_garbage_instead_of_a_handshake_is_no_connection(
    key: Path, sent: bytes, words: str
) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            until_closed(connection)

    error = connect_to(talk, key)
    assert isinstance(error, ShellError)
    assert words in str(error)


def test_a_server_that_never_gets_to_the_point_sends_no_more_than_a_mebibyte(key: Path) -> None:
    ignore = b"\0\0\x80\x04\x04\x02" + bytes(0x8003 - 1)  # SSH_MSG_IGNORE, RFC 4253, 11.2

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"SSH-2.0-x\r\n")
        while True:
            connection.sendall(ignore)

    assert "more than 1 MiB before the login" in str(connect_to(talk, key))


def test_a_server_without_a_modern_algorithm_is_refused(key: Path, tmp_path: Path) -> None:
    host = paramiko.RSAKey.generate(2048)

    def talk(connection: socket.socket) -> None:
        transport = paramiko.Transport(connection)
        transport.add_server_key(host)
        with contextlib.suppress(Exception):
            transport.start_server(server=paramiko.ServerInterface())
        transport.join(SECONDS)
        transport.packetizer.complete_handshake()  # ends its timer

    error = connect_to(talk, key)
    assert isinstance(error, ShellRefusedError)
    assert "no algorithm in common" in str(error)


# Keys


def test_keys_are_openssh_files_that_name_nobody(tmp_path: Path) -> None:
    pair = make_key()
    path = tmp_path / "key"
    before = os.umask(0)
    try:
        pair.write(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    line = subprocess.run(["ssh-keygen", "-y", "-f", path], check=True, capture_output=True)
    assert line.stdout.decode().strip() == pair.public
    assert len(pair.public.split()) == 2
    shown = subprocess.run(["ssh-keygen", "-l", "-f", path], check=True, capture_output=True)
    assert fingerprint(host_key_blob(pair.public)) in shown.stdout.decode()
    assert shown.stdout.decode().split()[2:] == ["(ED25519)"]
    assert make_key() != pair


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    pair = make_key()
    pair.write(tmp_path / "key")
    with pytest.raises(InfraError, match="File exists"):
        make_key().write(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == pair.private


@pytest.mark.parametrize("content", [b"", b"-----BEGIN OPENSSH PRIVATE KEY-----\n", b"x" * 100_000])
def test_a_file_that_is_no_key_is_refused(
    server: SshServer, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "key"
    KeyPair(content, "").write(path)
    assert f"cannot use the key {path}" in str(connect(replace(server.address, key=path)))
