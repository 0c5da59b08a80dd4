"""No other user gets between the harness and its guests, or has it write where it should not."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attacker import NOBODY, needs_root, tries
from command import Home

pytestmark = [needs_root, pytest.mark.guest]

BOOT = ("boot", "--source", "embedded", "--accelerator", "tcg", "--numa", "1")
HANG = (*BOOT, "-v", "--tunable", "harness.plant=hang")


@pytest.fixture
def sticky(home: Home) -> Iterator[Path]:
    """A directory like /tmp, in which everybody may make files."""
    home.directory.chmod(0o711)
    directory = home.directory / "sticky"
    directory.mkdir()
    directory.chmod(0o1777)
    yield directory
    home.directory.chmod(0o700)


def foreign(path: Path) -> None:
    path.mkdir(mode=0o700)
    os.chown(path, NOBODY, NOBODY)


def linked(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    path.symlink_to(elsewhere)


def of_a_group(path: Path) -> None:
    path.mkdir()
    path.chmod(0o770)


def a_file(path: Path) -> None:
    path.touch(0o700)


def below_a_writable_directory(path: Path) -> None:
    path.parent.chmod(0o777)


def below_a_foreign_directory(path: Path) -> None:
    os.chown(path.parent, NOBODY, NOBODY)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (foreign, f"it belongs to user {NOBODY}, not to 0"),
        (linked, "it is a symbolic link"),
        (of_a_group, "other users can write to it (mode 0770)"),
        (a_file, "it is not a directory"),
        (below_a_writable_directory, "another user can replace it, because of "),
        (below_a_foreign_directory, "another user can replace it, because of "),
    ],
)
@pytest.mark.parametrize("backend", ["qemu", "libvirt"])
def test_runtime_directory_of_others_is_refused(
    home: Home, make: Callable[[Path], None], words: str, backend: str
) -> None:
    runtime = Path(home.env["XDG_RUNTIME_DIR"], "harness")
    make(runtime)
    said = home.run(*BOOT, "--backend", backend)
    assert said.code == 3
    told = said.stdout + said.stderr
    assert f"the runtime directory {runtime} is not used: " in told
    assert words in told
    assert "Traceback" not in told


@pytest.mark.parametrize("mode", [0o755, 0o711, 0o750])
def test_a_runtime_directory_that_others_could_only_read_is_closed_to_them(
    home: Home, mode: int
) -> None:
    runtime = Path(home.env["XDG_RUNTIME_DIR"], "harness")
    runtime.mkdir()
    runtime.chmod(mode)
    assert home.run(*BOOT).code == 0
    assert runtime.stat().st_mode & 0o7777 == 0o700


def test_repair_removes_nothing_from_a_directory_of_others(home: Home) -> None:
    runtime = Path(home.env["XDG_RUNTIME_DIR"], "harness")
    foreign(runtime)
    left = runtime / "left.console"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(left))
    said = home.run("doctor", "--repair")
    assert said.code == 3
    assert f"it belongs to user {NOBODY}" in said.stdout + said.stderr
    assert left.is_socket()


PREPARE = """
import os, sys
runtime, victim = sys.argv[1:]
os.makedirs(runtime + "/libvirt/libvirt")
os.chmod(runtime, 0o777)
os.symlink(victim, runtime + "/libvirt/libvirtd.conf")
os.symlink(victim, runtime + "/libvirt/libvirt/qemu.conf")
"""


def test_a_directory_prepared_in_tmp_has_nothing_overwritten(home: Home, sticky: Path) -> None:
    victim = home.directory / "libvirtd.conf"
    victim.write_text("the system's\n")
    attempt = tries(PREPARE, sticky / "harness-0", victim)
    assert attempt.returncode == 0, attempt.stderr
    said = home.run(*BOOT, "--backend", "libvirt", XDG_RUNTIME_DIR="", TMPDIR=str(sticky))
    assert said.code == 3
    assert f"it belongs to user {NOBODY}" in said.stdout + said.stderr
    assert victim.read_text() == "the system's\n"


def test_the_runtime_directory_is_made_for_one_user(home: Home, sticky: Path) -> None:
    said = home.run(*BOOT, XDG_RUNTIME_DIR="", TMPDIR=str(sticky))
    assert said.code == 0, said.stderr
    assert (sticky / "harness-0").stat().st_mode & 0o7777 == 0o700


STEAL = """
import os, socket, sys
directory = sys.argv[1]
def refused(act, *args):
    try:
        act(*args)
    except PermissionError:
        return
    print("not refused:", act.__name__, *args)
refused(os.listdir, directory)
refused(os.rename, directory, directory + ".old")
refused(os.rmdir, directory)
for name in sys.argv[2:]:
    path = os.path.join(directory, name)
    refused(os.unlink, path)
    refused(os.rename, path, path + "~")
    refused(os.chmod, path, 0o777)
    refused(socket.socket(socket.AF_UNIX).connect, path)
    refused(socket.socket(socket.AF_UNIX).bind, path + ".new")
"""


def test_sockets_of_a_running_guest_cannot_be_exchanged(home: Home, sticky: Path) -> None:
    env = {"XDG_RUNTIME_DIR": "", "TMPDIR": str(sticky)}
    runtime = sticky / "harness-0"
    with home.started(*HANG, **env) as running:
        running.wait_for_words("none-numa1: kernel at")
        sockets = [path.name for path in runtime.iterdir() if path.is_socket()]
        assert sockets
        attempt = tries(STEAL, runtime, *sockets)
        assert (attempt.returncode, attempt.stdout) == (0, ""), attempt.stderr
        assert not [name for name in sockets if name.endswith(".qmp")], "QMP has no path"
        assert running.popen.poll() is None


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "XDG_STATE_HOME"])
@pytest.mark.parametrize(
    ("owner", "mode", "words"),
    [(NOBODY, 0o700, f"belongs to user {NOBODY}"), (0, 0o777, "other users can write to it")],
)
def test_cache_and_state_of_others_are_refused(
    home: Home, variable: str, owner: int, mode: int, words: str
) -> None:
    directory = Path(home.env[variable], "harness")
    directory.mkdir(parents=True)
    directory.chmod(mode)
    os.chown(directory, owner, owner)
    said = home.run(*BOOT)
    assert said.code == 3
    assert f"{directory} is not used: " in said.error
    assert words in said.error


def test_cache_and_state_are_made_for_one_user(home: Home) -> None:
    assert home.run("ps").code == 0
    for variable in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
        assert Path(home.env[variable], "harness").stat().st_mode & 0o777 == 0o700
