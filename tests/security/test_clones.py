"""Clones go the user's way to the network, by protocols that run nothing."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest
from command import Home, script, temporary_home
from hostile_trees import arm, program
from small_tree import git_tree


@pytest.fixture
def home() -> Iterator[Home]:
    with temporary_home() as home:
        yield home


def test_the_users_agent_reaches_ssh(home: Home) -> None:
    path = script(home.directory / "bin", "ssh", f"env >{home.directory}/environment; exit 255")
    said = home.run("build", "--source", "ssh://host/src", PATH=path, SSH_AUTH_SOCK="/agent")
    assert said.code == 3, said.stderr
    assert "SSH_AUTH_SOCK=/agent\n" in (home.directory / "environment").read_text()


def test_the_users_proxy_is_asked(home: Home) -> None:
    asked: list[bytes] = []

    def answer() -> None:
        client, _ = server.accept()
        with client:
            asked.append(client.recv(100))
            client.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        proxy = f"http://127.0.0.1:{server.getsockname()[1]}"
        said = home.run("build", "--source", "https://host.invalid/src.git", https_proxy=proxy)
        thread.join()
    assert said.code == 3, said.stderr
    assert asked[0].startswith(b"CONNECT host.invalid:443 ")


def test_the_users_configuration_of_git_counts(home: Home) -> None:
    settings = home.directory / "config/git/config"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        f'[url "file://{home.directory}/none/"]\n\tinsteadOf = https://host.invalid/\n'
    )
    said = home.run("build", "--source", "https://host.invalid/src.git")
    assert (said.code, "does not" in said.stderr or "not found" in said.stderr) == (2, True)


@pytest.mark.parametrize("command", ["build", "doctor"])
def test_the_repository_of_the_working_directory_has_no_say(home: Home, command: str) -> None:
    """git-ls-remote(1) reads the configuration of the repository that it is run in."""
    evil, ran = program(home.directory / "evil")
    tree = git_tree(home.directory / "tree")
    arm(tree, evil)
    path = script(home.directory / "bin", "ssh", "exit 255")
    said = home.run(command, cwd=tree, PATH=path, HARNESS_SOURCE="ssh://localhost/src")
    assert said.code in {0, 3}, said.stderr
    assert not ran.exists(), ran.read_text()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/src.git", "ext://x", "ftp://127.0.0.1:1/x"])
def test_another_protocol_is_refused(home: Home, url: str) -> None:
    path = f"{home.directory / 'bin'}{os.pathsep}{os.environ['PATH']}"
    script(home.directory / "bin", "git-remote-ext", f"touch {home.directory}/ran")
    said = home.run("build", "--source", url, PATH=path)
    assert said.code == 2, said.stderr
    assert "protocol" in said.stderr or "is not the URL" in said.stderr
    assert not (home.directory / "ran").exists()
