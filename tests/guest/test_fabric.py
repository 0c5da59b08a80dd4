"""fabric's connection to a guest: the known server and key, nothing of the user's."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from leaks import nothing_leaked
from ssh_server import SshServer, ssh_server

from harness.shell.ssh.fabric import fabric_connection
from harness.shell.ssh.keys import make_key


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as one:
        yield one


def test_fabric_runs_commands_and_copies_files(server: SshServer, tmp_path: Path) -> None:
    with nothing_leaked(), contextlib.closing(fabric_connection(server.address)) as connection:
        done = connection.run("echo out; exit 3", warn=True, hide=True)
        assert (done.exited, done.stdout) == (3, "out\n")
        (tmp_path / "file").write_text("content")
        connection.put(str(tmp_path / "file"), str(tmp_path / "copy"))
        assert (tmp_path / "copy").read_text() == "content"


def test_fabric_refuses_another_host_key(server: SshServer) -> None:
    other = replace(server.address, host_key=make_key().public)
    with (
        contextlib.closing(fabric_connection(other)) as connection,
        pytest.raises(paramiko.BadHostKeyException),
    ):
        connection.open()


def test_fabric_uses_nothing_of_the_users(
    server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir(mode=0o700)
    words = f"Host *\n IdentityFile {server.key}\n User nobody\n ProxyCommand false\n"
    (tmp_path / ".ssh" / "config").write_text(words)
    (tmp_path / ".fabric.yaml").write_text("user: nobody\nrun:\n  shell: /bin/false\n")
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        agent.listen()
        agent.settimeout(0)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        monkeypatch.setenv("HOME", str(tmp_path))
        with contextlib.closing(fabric_connection(server.address)) as connection:
            assert connection.run("id -un", hide=True).stdout.strip() == server.address.user
        make_key().write(tmp_path / "other")
        wrong = replace(server.address, key=tmp_path / "other")
        with (
            contextlib.closing(fabric_connection(wrong)) as connection,
            pytest.raises(paramiko.AuthenticationException),
        ):
            connection.open()
        with pytest.raises(BlockingIOError):
            agent.accept()
