"""A guest's directory and sockets."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.boot.guestdir import GuestDir, new_socket, temporary_guest_dir
from harness.host.workspace import Workspace

SUN_PATH = 107
"""The longest path of a local socket (unix(7))."""


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with tempfile.TemporaryDirectory(prefix="hf-") as short:
        yield Workspace(tmp_path / "cache", tmp_path / "state", Path(short) / "run")


@pytest.mark.parametrize("name", ["kasan-numa2", "n" * 300])
def test_sockets_of_any_name_are_short_enough_and_each_is_another(
    workspace: Workspace, name: str
) -> None:
    sockets = {new_socket(workspace, name) for _ in range(20)}
    assert len(sockets) == 20
    assert max(len(str(path)) for path in sockets) + len(".check") <= SUN_PATH
    assert all(path.name.startswith(name[-40:]) for path in sockets)


def use(place: GuestDir) -> None:
    """Boot a guest there, until the user interrupts it."""
    (place.directory / "kernel").touch()
    place.socket.touch()
    raise KeyboardInterrupt


def test_a_directory_ends_with_its_guest_however_that_ends(workspace: Workspace) -> None:
    with pytest.raises(KeyboardInterrupt), temporary_guest_dir(workspace, "numa1") as place:
        use(place)
    assert not place.directory.exists()
    assert not place.socket.exists()
    assert place.claim is None
    assert place.channel.parent == place.socket.parent
