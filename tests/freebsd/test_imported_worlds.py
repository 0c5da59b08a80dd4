"""Disk images like FreeBSD's own, imported and run, on ``$HARNESS_NEWER_SOURCE``."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
from pathlib import Path

import pytest
from disk_images import published, write_gpt_disk
from harness_command import harness

pytestmark = [pytest.mark.freebsd, pytest.mark.long, pytest.mark.timeout(7200)]


@pytest.fixture(scope="module")
def disk(newer_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world on a partitioned disk, whose root has no password."""
    top = tmp_path_factory.mktemp("disk")
    command = ("exec", "--source", newer_tree, "--kasan", "--world", "tests")
    (cell,) = harness(*command, out=top, guest="true").cells().values()
    images = harness("image", "ls", out=top).document["images"]
    (built,) = (each["disk"] for each in images if each["key"] == cell["world"]["key"])
    root = top / "root.ufs"
    subprocess.run(["qemu-img", "convert", "-O", "raw", built, root], check=True)
    return write_gpt_disk(top / "disk.raw", published(root))


def test_imported_image_runs_commands_and_the_file_stays_as_it_is(
    newer_tree: Path, disk: Path, tmp_path: Path
) -> None:
    before = hashlib.sha256(disk.read_bytes()).hexdigest()
    imported = harness(
        "image", "import", disk, "--sha256", before, "--source", newer_tree, "--kasan",
        out=tmp_path,
    )  # fmt: skip
    assert imported.code == 0, imported.told
    image = imported.document
    assert (image["kind"], image["partition"]) == ("imported", "p3")
    answer = harness(
        "exec", "--source", newer_tree, "--kasan", "--world", image["key"], out=tmp_path,
        guest="mount -p | head -1",
    )  # fmt: skip
    (cell,) = answer.cells().values()
    assert (cell["verdict"]["outcome"], cell["verified"], answer.code) == ("booted", True, 0)
    output = tmp_path / answer.document["name"] / cell["name"] / "stdout.log"
    assert output.read_text().split()[0].endswith("p3")
    assert hashlib.sha256(disk.read_bytes()).hexdigest() == before
    removed = harness("image", "rm", image["key"], out=tmp_path)
    assert removed.document["removed"] == [image["key"]]


def test_kernel_of_an_older_release_is_refused_before_a_boot(
    freebsd_tree: Path, disk: Path, tmp_path: Path
) -> None:
    answer = harness("image", "import", disk, "--source", freebsd_tree, "--kasan", out=tmp_path)
    assert answer.code == 2
    assert "cannot run the world" in answer.told


def test_kernel_of_a_newer_release_runs_the_world_of_an_older_one(
    freebsd_tree: Path, newer_tree: Path, tmp_path: Path
) -> None:
    """sshd is the first to die of a system call that changed since."""
    images = harness("image", "ls", out=tmp_path).document["images"]
    older = [each["key"] for each in images if Path(each["source"]) == freebsd_tree]
    if not older:
        pytest.skip("no image of the older tree: build one with harness image build --world slim")
    answer = harness(
        "exec", "--source", newer_tree, "--kasan", "--world", older[0], out=tmp_path,
        guest="test $(uname -K) -gt $(uname -U)",
    )  # fmt: skip
    assert answer.code == 0, answer.told


LIKE_A_CLOUD_IMAGE = """
set -e
chmod a+x /etc/rc.d/*
rm -rf /root/.ssh /etc/ssh/ssh_host_* /etc/rc.d/harness_ready
echo 'nuageinit_enable="YES"' >>/etc/rc.conf
mkdir -p /etc/rc.conf.d
echo 'export LC_ALL=C' >/etc/rc.conf.d/nuageinit
echo a-password | pw usermod root -h 0
touch /firstboot
sync
mount -ufr /
gzip -1c </dev/vtbd0
"""
"""Makes the disk into one with nuageinit(7) and a password, and prints it."""


def test_a_config_drive_lets_the_harness_into_an_image_whose_root_has_a_password(
    newer_tree: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text(LIKE_A_CLOUD_IMAGE)
    tree = ("--source", newer_tree, "--kasan")
    made = harness(
        "exec", *tree, "--world", "tests", "--put", f"{script}:/tmp/script", out=tmp_path,
        guest="sh /tmp/script",
    )  # fmt: skip
    (cell,) = made.cells().values()
    printed = tmp_path / made.document["name"] / cell["name"] / "stdout.log"
    root = tmp_path / "root.ufs"
    root.write_bytes(gzip.decompress(printed.read_bytes()))
    disk = write_gpt_disk(tmp_path / "disk.raw", published(root))
    imported = harness("image", "import", disk, *tree, out=tmp_path)
    assert imported.code == 0, imported.told
    assert "by config-drive" in imported.told
    key = imported.document["key"]
    try:
        answer = harness("exec", *tree, "--world", key, out=tmp_path, guest="id -u")
        assert answer.code == 0, answer.told
    finally:
        harness("image", "rm", key, out=tmp_path)
