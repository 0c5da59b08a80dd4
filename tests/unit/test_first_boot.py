"""The first boot of an image that was made elsewhere, with fake guests."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_guests import banner, console, fake_booter, made_kernel, plan

from harness.boot.firstboot import FirstBoot
from harness.errors import InfraError, UsageError
from harness.guest.backend import GuestEnding
from harness.guest.devices import GuestDisk
from harness.guest.fake import Piece, Script
from harness.guest.spec import GuestSpec
from harness.host.progress import Recorded
from harness.host.workspace import Workspace
from harness.imported.firstlogin import WayIn

Printed = Callable[[str], tuple[Piece, ...]]


def nonce_of(spec: GuestSpec) -> str:
    """The nonce on the config drive."""
    found = re.search(rb"([0-9a-f]{16}) config-drive", spec.disks[2].path.read_bytes())
    assert found
    return found[1].decode()


def first_boot(
    tmp_path: Path, printed: Printed, ending: GuestEnding | None = GuestEnding.POWEROFF
) -> tuple[WayIn, list[GuestDisk]]:
    image, archive, kept = tmp_path / "image", tmp_path / "archive", []
    image.write_bytes(bytes(1 << 20))
    archive.write_bytes(bytes(10240))

    def keep(overlay: GuestDisk) -> None:
        assert overlay.path.is_file()
        kept.append(overlay)

    def play(spec: GuestSpec) -> Script:
        assert spec.network is None
        assert [disk.read_only for disk in spec.disks] == [False, True, True]
        return Script((Piece(banner()), *printed(nonce_of(spec))), ending=ending)

    with fake_booter(tmp_path, play) as booter:
        first = FirstBoot(
            booter.workspace, booter.runner, booter.clock, booter.backend, Recorded(),
            booter.cancelled,
        )  # fmt: skip
        disk = GuestDisk(image, read_only=True)
        way = first.prepare("import", made_kernel(tmp_path), plan(1), disk, "p4", archive, keep)
    assert image.read_bytes() == bytes(1 << 20)
    return way, kept


def done(nonce: str, way: str = "console") -> Piece:
    return Piece(console("", f"@harness-import {nonce} done {way}."), after=1.0)


def test_image_that_was_prepared_is_passed_on(tmp_path: Path) -> None:
    way, kept = first_boot(
        tmp_path,
        lambda nonce: (Piece(b"login: "), Piece(b"\r\nroot@freebsd:~ # "), done(nonce)),
    )
    assert way is WayIn.CONSOLE
    assert len(kept) == 1
    assert not kept[0].path.exists()


def test_config_drive_is_a_way_in(tmp_path: Path) -> None:
    way, _ = first_boot(tmp_path, lambda nonce: (done(nonce, "config-drive"),))
    assert way is WayIn.CONFIG_DRIVE


@pytest.mark.parametrize(
    ("printed", "ending", "why"),
    [
        ([b"login: ", b"Password:"], None, "root has a password"),
        ([b"Mounting"], None, "did not come up in time"),
        ([b"Mounting"], GuestEnding.RESET, "failed or reset"),
        ([b"Mounting"], GuestEnding.POWEROFF, "powered off"),
        ([bytes(17 << 20)], None, "prints without end"),
    ],
)
def test_image_that_cannot_be_prepared_is_refused_with_its_console(
    tmp_path: Path, printed: list[bytes], ending: GuestEnding | None, why: str
) -> None:
    with pytest.raises(UsageError) as caught:
        first_boot(tmp_path, lambda _: tuple(map(Piece, printed)), ending)
    assert why in caught.value.message
    assert printed[0].decode()[-20:] in caught.value.detail


def test_guest_that_does_not_power_off_is_the_hosts_failure(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="did not power off"):
        first_boot(tmp_path, lambda nonce: (done(nonce),), None)


def test_archive_of_the_harness_files_is_read_by_tar(
    tmp_path: Path, workspace: Workspace, init_images: Path
) -> None:
    from harness.host.process import HostRunner
    from harness.world.addition import make_addition
    from harness.world.config import Services

    shutil.copytree(init_images, workspace.cache / "images")
    addition = make_addition(tmp_path, Services.FEW, workspace, HostRunner())
    listed = subprocess.run(
        ["tar", "-tvf", addition.archive], check=True, capture_output=True, text=True
    ).stdout
    modes = {line.split()[-1]: line[:10] for line in listed.splitlines()}
    assert modes["files/sbin/harness-init"] == "-r-xr-xr-x"
    assert modes["files/root/.ssh/"] == "drwx------"
    assert modes["files/etc/ssh/ssh_host_ed25519_key"] == "-rw-------"
    assert "files/etc/fstab" not in modes
    assert {"prepare.sh", "rc.conf", "scripts"} <= modes.keys()
    assert "root/wheel" in listed
