"""The key of a snapshot: what a guest depends on, and nothing that each boot has its own of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_guests import made_kernel
from guest_specs import guest_spec

from harness.boot.snapshots import snapshot_key
from harness.guest.backend import Backend
from harness.guest.devices import DiskFormat, GuestDisk, Network
from harness.guest.libvirt import LibvirtBackend
from harness.guest.qemu import QemuBackend
from harness.guest.spec import GuestSpec
from harness.guest.topology import Topology
from harness.host.clock import HostClock
from harness.host.confinement import Identity
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.image.media import DirectKernel

DISK = GuestDisk(
    Path("/a/root"), read_only=False, format=DiskFormat.QCOW2,
    backing=GuestDisk(Path("/a/world"), read_only=True, format=DiskFormat.QCOW2),
)  # fmt: skip
SPEC = guest_spec(
    media=DirectKernel(Path("/a/kernel"), "harness.nonce=1"), disks=(DISK,), network=Network(),
    serial_sockets=(Path("/a/second"),),
)  # fmt: skip


QEMU = QemuBackend(HostRunner(), HostClock())


def key(
    directory: Path,
    spec: GuestSpec = SPEC,
    kernel: int = 0,
    *,
    world: str = "",
    backend: Backend = QEMU,
    **tunables: str,
) -> str:
    spec = replace(spec, firmware=None)
    return snapshot_key(spec, made_kernel(directory, kernel), tunables, (world,), backend)


def test_each_boot_has_paths_user_and_nonce_of_its_own(tmp_path: Path) -> None:
    moved = GuestDisk(
        Path("/b/root"), read_only=False, format=DiskFormat.QCOW2,
        backing=GuestDisk(Path("/b/world"), read_only=True, format=DiskFormat.QCOW2),
    )  # fmt: skip
    other = replace(
        SPEC, name="other", console_socket=Path("/b/console"), serial_sockets=(Path("/b/port"),),
        media=DirectKernel(Path("/b/kernel"), "harness.nonce=2"), identity=Identity(1, 1),
        disks=(moved,), ram={0: 7, 1: 9}, saved=Path("/b/state"),
    )  # fmt: skip
    assert key(tmp_path, other) == key(tmp_path)


@pytest.mark.parametrize(
    "other",
    [
        replace(SPEC, topology=Topology.even(3)),
        replace(SPEC, topology=Topology.even(2, memory_mib_per_node=512)),
        replace(SPEC, topology=Topology.even(2, cpus_per_node=2)),
        replace(SPEC, network=None),
        replace(SPEC, disks=()),
        replace(SPEC, serial_sockets=()),
        replace(SPEC, sata=True),
    ],
)
def test_another_machine_has_another_key(tmp_path: Path, other: GuestSpec) -> None:
    assert key(tmp_path, other) != key(tmp_path)


def test_another_kernel_environment_or_world_has_another_key(tmp_path: Path) -> None:
    others = [key(tmp_path, kernel=1), key(tmp_path, world="w"), key(tmp_path, a="1"),
              key(tmp_path, a="2"), key(tmp_path)]  # fmt: skip
    assert len(set(others)) == len(others)


def test_each_backend_has_snapshots_of_its_own(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, tmp_path, tmp_path)
    libvirt = LibvirtBackend(HostRunner(), HostClock(), workspace, uri="qemu:///session")
    assert key(tmp_path, backend=libvirt) != key(tmp_path)
    moved = replace(SPEC, console_socket=Path("/b/console"), ram={0: 7, 1: 9}, saved=Path("/b/s"))
    assert key(tmp_path, moved, backend=libvirt) == key(tmp_path, backend=libvirt)
