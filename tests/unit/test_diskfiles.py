"""The files of disks: opened for QEMU, and how large they can become."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.errors import InfraError
from harness.guest.devices import DiskFormat, GuestDisk, forwarded_port
from harness.guest.diskfiles import largest_file, open_disks

MIB = 1 << 20

USERNET = """\
Hub -1 (net0):\r
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r
  TCP[ESTABLISHED]   21       127.0.0.1 33157       10.0.2.15    22     0     0\r
  TCP[HOST_FORWARD]   3       127.0.0.1 33157       10.0.2.15    22     0     0\r
"""


def qcow2(path: Path, size: int, *options: str) -> GuestDisk:
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", *options, path, str(size)], check=True
    )
    return GuestDisk(path, False, DiskFormat.QCOW2)


def largest(*disks: GuestDisk) -> int:
    with ExitStack() as held:
        return largest_file(disks, open_disks(disks, held))


def test_every_file_of_a_chain_is_opened_and_closed_again(tmp_path: Path) -> None:
    world = tmp_path / "world"
    world.write_bytes(b"world")
    root = qcow2(tmp_path / "root", MIB)
    root = GuestDisk(root.path, False, root.format, GuestDisk(world, True))
    with ExitStack() as held:
        opened = open_disks((root, GuestDisk(world, True)), held)
        assert sorted(opened) == ["disk0", "disk0.1", "disk1"]
        assert os.pread(opened["disk0.1"], 5, 0) == b"world"
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.pwrite(opened["disk1"], b"x", 0)
        assert os.pwrite(opened["disk0"], b"Q", 0) == 1
    for descriptor in opened.values():
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


@pytest.mark.parametrize("cluster", [4096, 65536, 2 * MIB])
def test_a_full_overlay_is_no_larger_than_was_said(tmp_path: Path, cluster: int) -> None:
    size = 8 * MIB
    disk = qcow2(tmp_path / "disk", size, "-o", f"cluster_size={cluster}")
    most = largest(disk)
    full = ["qemu-io", "-f", "qcow2", "-c", f"write -P 7 0 {size}", str(disk.path)]
    subprocess.run(full, check=True, stdout=subprocess.DEVNULL)
    assert size < disk.path.stat().st_size <= most + 64 * MIB  # which is allowed anyway


def test_only_disks_that_are_written_count(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(3 * MIB))
    assert largest() == largest(GuestDisk(raw, True)) == 0
    assert largest(GuestDisk(raw, False)) == 3 * MIB


@pytest.mark.parametrize("what", ["missing", "directory", "pipe"])
def test_a_file_that_is_no_disk_is_named(tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    if what == "directory":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(InfraError, match=f"cannot open disk {path}: ") as refused:
        largest(GuestDisk(path, True))
    assert refused.value.remedy
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("content", [b"", b"QFI\xfb", b"QFI\xfb" + bytes(200), bytes(200)])
def test_a_file_that_is_not_qcow2_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "disk"
    path.write_bytes(content)
    with pytest.raises(InfraError, match="is not a qcow2 image"):
        largest(GuestDisk(path, False, DiskFormat.QCOW2))


def test_the_forwarded_port_is_read_from_qemus_monitor() -> None:
    assert forwarded_port(USERNET) == 33157


@pytest.mark.parametrize(
    "answer", ["", USERNET + USERNET, USERNET.replace("  127.0.0.1 33157", "192.168.1.5 33157")]
)
def test_another_answer_has_no_port(answer: str) -> None:
    with pytest.raises(InfraError, match="to the guest, not one"):
        forwarded_port(answer)
