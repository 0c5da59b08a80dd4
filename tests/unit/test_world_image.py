"""Images of worlds: made by makefs from what was installed, with keys of their own."""

from __future__ import annotations

import json
import os
import shutil
import stat
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


def workspace_in(directory: Path) -> Workspace:
    return Workspace(directory / "cache", directory / "state", directory / "runtime")


@pytest.fixture
def workspace(tmp_path: Path, init_images: Path) -> Workspace:
    shutil.copytree(init_images, tmp_path / "cache/images", dirs_exist_ok=True)
    return workspace_in(tmp_path)


def installed(directory: Path) -> Path:
    root = directory / "root"
    for name in ("etc/rc.d", "etc/ssh", "root", "sbin"):
        (root / name).mkdir(parents=True)
    (root / "etc/master.passwd").write_text("root:*:0:0::0:0:Charlie &:/root:/bin/sh\n")
    (root / "etc/group").write_text("wheel:*:0:root\n")
    for name in ("etc/rc.d/sshd", "etc/rc.d/cron", "sbin/init"):
        (root / name).write_text("#!/bin/sh\n")
    (root / "bin").symlink_to("sbin")
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return installed(tmp_path)


def made(root: Path, workspace: Workspace, metalog: str = METALOG) -> World:
    files = Metalog()
    files.read(metalog, "METALOG")
    return make_image(IDENTITY, root, files, workspace, HostRunner())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the workspace with ``image``."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def image(shared: Path, init_images: Path) -> World:
    """An image, which tests only examine."""
    shutil.copytree(init_images, shared / "cache/images")
    return made(installed(shared), workspace_in(shared))


@pytest.fixture
def copied(image: World, shared: Path, tmp_path: Path) -> World:
    """A copy of the image, which a test may change; its cache is that of ``workspace``."""
    del image
    shutil.copytree(shared / "cache", tmp_path / "cache", dirs_exist_ok=True)
    (world,) = WorldCache(workspace_in(tmp_path)).all()
    return world


def test_image_has_the_worlds_files_and_the_harness_own(image: World) -> None:
    content = image.disk.read_bytes()
    for name in (b"harness-init", b"harness_ready", b"authorized_keys", b"sshd_config"):
        assert name in content
    assert b"@harness-ready" in content


def test_image_is_found_in_the_cache_with_its_identity(image: World, shared: Path) -> None:
    assert image.identity == replace(IDENTITY, scripts=("harness_ready", "sshd"))
    cache = WorldCache(workspace_in(shared))
    assert cache.find(IDENTITY.key) == image
    assert cache.all() == [image]


def test_each_image_has_keys_of_its_own(image: World, root: Path, workspace: Workspace) -> None:
    other = made(root, workspace)
    assert image.host_key.startswith("ssh-ed25519 ")
    assert len(image.host_key.split()) == 2, "a comment would name the host"
    assert other.host_key != image.host_key
    assert other.key.read_bytes() != image.key.read_bytes()


def test_private_key_is_the_users_alone(image: World) -> None:
    assert stat.S_IMODE(image.key.stat().st_mode) == 0o600


def test_damaged_image_is_not_used(copied: World, workspace: Workspace) -> None:
    with copied.disk.open("r+b") as file:
        file.truncate(1000)
    assert WorldCache(workspace).all() == []


def test_identity_of_another_version_is_not_read(copied: World, workspace: Workspace) -> None:
    path = copied.directory / "world.json"
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


def test_image_is_a_qcow2_file(image: World) -> None:
    assert (image.directory / DISK).read_bytes()[:4] == b"QFI\xfb"


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
