"""Images of worlds: made by makefs from what was installed, with keys of their own."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import InfraError
from harness.host.process import HostRunner
from harness.host.sealedstore import MANIFEST
from harness.host.workspace import Workspace
from harness.world.image import DISK, HOST_KEY, KEY, World, WorldCache, WorldIdentity, make_image
from harness.world.metalog import Metalog

METALOG = """\
. type=dir uname=root gname=wheel mode=0755
./etc type=dir uname=root gname=wheel mode=0755
./etc/rc.d type=dir uname=root gname=wheel mode=0755
./etc/rc.d/sshd type=file uname=root gname=wheel mode=0555
./etc/rc.d/cron type=file uname=root gname=wheel mode=0555
./etc/ssh type=dir uname=root gname=wheel mode=0755
./root type=dir uname=root gname=wheel mode=0750
./sbin type=dir uname=root gname=wheel mode=0755
./sbin/init type=file uname=root gname=wheel mode=0500
./bin type=link uname=root gname=wheel mode=0755 link=sbin
"""

IDENTITY = WorldIdentity(
    "k" * 40, "tree", "1a2b3c4d5e", None, "t" * 40, dirty=False, overlaid=("a",),
    release="15.1-RELEASE", kind="slim", suites=(), services="few", compiler="clang",
)  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "cache", tmp_path / "state", tmp_path / "runtime")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("etc/rc.d", "etc/ssh", "root", "sbin"):
        (root / name).mkdir(parents=True)
    (root / "etc/master.passwd").write_text("root:*:0:0::0:0:Charlie &:/root:/bin/sh\n")
    (root / "etc/group").write_text("wheel:*:0:root\n")
    for name in ("etc/rc.d/sshd", "etc/rc.d/cron", "sbin/init"):
        (root / name).write_text("#!/bin/sh\n")
    (root / "bin").symlink_to("sbin")
    return root


def made(root: Path, workspace: Workspace, metalog: str = METALOG) -> World:
    files = Metalog()
    files.read(metalog, "METALOG")
    return make_image(IDENTITY, root, files, workspace, HostRunner())


def raw_image(world: World, tmp_path: Path) -> bytes:
    raw = tmp_path / "raw"
    words = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", str(world.disk), str(raw)]
    subprocess.run(words, check=True)
    return raw.read_bytes()


def test_image_has_the_worlds_files_and_the_harness_own(
    root: Path, workspace: Workspace, tmp_path: Path
) -> None:
    image = raw_image(made(root, workspace), tmp_path)
    for name in (b"harness-init", b"harness_ready", b"authorized_keys", b"sshd_config"):
        assert name in image
    assert b"@harness-ready" in image


def test_image_is_found_in_the_cache_with_its_identity(root: Path, workspace: Workspace) -> None:
    world = made(root, workspace)
    assert world.identity == replace(IDENTITY, scripts=("harness_ready", "sshd"))
    assert WorldCache(workspace).find(IDENTITY.key) == world
    assert WorldCache(workspace).all() == [world]


def test_each_image_has_keys_of_its_own(root: Path, workspace: Workspace) -> None:
    one = made(root, workspace)
    keys = one.host_key, one.key.read_bytes()
    other = made(root, workspace)
    assert keys[0].startswith("ssh-ed25519 ")
    assert len(keys[0].split()) == 2, "a comment would name the host"
    assert other.host_key != keys[0]
    assert other.key.read_bytes() != keys[1]


def test_private_key_is_the_users_alone(root: Path, workspace: Workspace) -> None:
    assert stat.S_IMODE(made(root, workspace).key.stat().st_mode) == 0o600


def test_damaged_image_is_not_used(root: Path, workspace: Workspace) -> None:
    world = made(root, workspace)
    with world.disk.open("r+b") as file:
        file.truncate(1000)
    assert WorldCache(Workspace(workspace.cache, workspace.state, workspace.runtime)).all() == []


def test_identity_of_another_version_is_not_read(root: Path, workspace: Workspace) -> None:
    path = made(root, workspace).directory / "world.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "more": 1}))
    assert WorldCache(workspace).find(IDENTITY.key) is None


def test_installed_link_leads_no_file_of_ours_elsewhere(
    root: Path, workspace: Workspace, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / "etc/ssh").rmdir()
    (root / "etc/ssh").symlink_to(elsewhere)
    with pytest.raises(InfraError):
        made(root, workspace)
    assert list(elsewhere.iterdir()) == []


def test_nothing_is_left_of_a_failed_image(root: Path, workspace: Workspace) -> None:
    (root / "etc/group").unlink()
    with pytest.raises(InfraError, match="bwrap failed"):
        made(root, workspace)
    assert WorldCache(workspace).all() == []
    assert not list((workspace.cache / "scratch").glob("world*"))


def test_image_is_a_qcow2_file(root: Path, workspace: Workspace) -> None:
    assert (made(root, workspace).directory / DISK).read_bytes()[:4] == b"QFI\xfb"


def test_worlds_are_listed_by_when_they_were_stored_not_by_when_they_were_used(
    workspace: Workspace, tmp_path: Path
) -> None:
    cache, file = WorldCache(workspace), tmp_path / "file"
    file.touch()
    files = {DISK: file, KEY: file, HOST_KEY: file}
    for number, key in enumerate(("older", "newer")):
        directory = cache.store(replace(IDENTITY, key=key), files).directory
        os.utime(directory / MANIFEST, (number, number))
    (workspace.cache / "worlds" / "older" / "verified.json").touch()
    assert [identity.key for identity in cache.identities()] == ["newer", "older"]
