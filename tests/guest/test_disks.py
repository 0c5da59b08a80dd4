"""Disks and networks of real guests, under both backends and in other users' hands."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from backend_guests import BACKENDS, MakeBackend, guest_spec, listening, plenty, qemus

from harness.errors import InfraError
from harness.guest.backend import Backend
from harness.guest.devices import (
    FIRST_DISK_SLOT,
    LOOPBACK,
    NETWORK_SLOT,
    DiskFormat,
    GuestDisk,
    Network,
)
from harness.guest.libvirt_domain import LibvirtGuest
from harness.guest.qemu import QemuBackend, QemuGuest
from harness.guest.spec import GuestSpec
from harness.guest.topology import Topology
from harness.host.accelerator import Accelerator
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.image.media import EfiDirectory

pytestmark = pytest.mark.guest

MIB = 1 << 20
LONG = 80 * MIB
"""More than QEMU may write to a file without disks."""

VIRTIO = 0x1AF4


@pytest.fixture
def spec(directory: Path) -> GuestSpec:
    """A guest in its firmware, with an overlay of a world, the world itself and a network."""
    closed = directory / "closed"
    closed.mkdir(mode=0o700)
    world, root = closed / "world", closed / "root"
    world.write_bytes(b"world".ljust(MIB, b"."))
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(world), "-F", "raw"]
    subprocess.run([*create, str(root), "128M"], check=True)
    media = directory / "media"
    media.mkdir()
    base = GuestDisk(world, True)
    return replace(
        guest_spec(directory, Topology.even(1, memory_mib_per_node=128), EfiDirectory(media)),
        disks=(GuestDisk(root, False, DiskFormat.QCOW2, base), base),
        network=Network(),
    )


@contextmanager
def started(backend: Backend, spec: GuestSpec) -> Iterator[QemuGuest | LibvirtGuest]:
    with listening(spec.console_socket):
        guest = backend.start(spec)
        assert isinstance(guest, QemuGuest | LibvirtGuest)
        try:
            yield guest
        finally:
            guest.destroy()


def virtio_slots(guest: QemuGuest | LibvirtGuest) -> set[int]:
    (bus,) = guest.query("query-pci")
    return {each["slot"] for each in bus["devices"] if each["id"]["vendor"] == VIRTIO}


def blocks(guest: QemuGuest | LibvirtGuest) -> list[dict[str, Any]]:
    """The virtio disks but the FAT volume, in order of creation."""
    found = [each for each in guest.query("query-block") if "virtio" in str(each.get("qdev"))]
    return [each for each in found if "vvfat" not in str(each["inserted"]["image"])]


def write(guest: QemuGuest | LibvirtGuest, block: dict[str, Any], size: int) -> None:
    """Write and flush as the device does; QEMU prints the result where nobody reads it."""
    for words in (f"write -P 7 0 {size}", "flush"):
        command = f'qemu-io -d {block["qdev"]} "{words}"'
        guest.query("human-monitor-command", {"command-line": command})


def content(disk: GuestDisk, size: int) -> bytes:
    flat = disk.path.with_name("flat")
    subprocess.run(["qemu-img", "convert", "-O", "raw", disk.path, flat], check=True)
    with flat.open("rb") as file:
        return file.read(size)


@pytest.mark.parametrize("backend", BACKENDS)
def test_disks_and_network_are_in_their_slots_and_the_port_accepts_at_once(
    backend: str, make_backend: MakeBackend, spec: GuestSpec
) -> None:
    with started(make_backend(backend), spec) as guest:
        assert {FIRST_DISK_SLOT, FIRST_DISK_SLOT + 1, NETWORK_SLOT} < virtio_slots(guest)
        root, world = (each["inserted"] for each in blocks(guest))
        assert (root["drv"], root["ro"], root["backing_file_depth"]) == ("qcow2", False, 1)
        assert (world["drv"], world["ro"]) == ("raw", True)
        assert guest.machine_differences(spec) == ()
        port = guest.forwarded_port()
        socket.create_connection((LOOPBACK, port), 30).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, port), 30)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_overlay_takes_more_than_a_log_may_have_and_its_base_stays(
    backend: str, make_backend: MakeBackend, spec: GuestSpec
) -> None:
    before = spec.disks[1].path.read_bytes()
    with started(make_backend(backend), spec) as guest:
        root, world = blocks(guest)
        write(guest, root, LONG)
        write(guest, world, 512)
        (qemu,) = qemus(spec)
        soft, hard = qemu.rlimit(psutil.RLIMIT_FSIZE)
        assert 128 * MIB <= soft == hard <= 132 * MIB
    assert content(spec.disks[0], LONG) == b"\7" * LONG
    assert spec.disks[1].path.read_bytes() == before


def test_a_guest_without_a_network_has_no_port(make_backend: MakeBackend, spec: GuestSpec) -> None:
    with started(make_backend("qemu"), replace(spec, network=None)) as guest:
        assert NETWORK_SLOT not in virtio_slots(guest)
        with pytest.raises(InfraError, match="forwards 0 ports"):
            guest.forwarded_port()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's guests run as another user")
def test_another_user_uses_disks_that_he_may_not_open(spec: GuestSpec, directory: Path) -> None:
    backend = QemuBackend(HostRunner(), HostClock(), available=plenty)
    identity = backend.identity(Accelerator.TCG)
    assert identity is not None
    os.chown(directory, 0, identity.gid)
    directory.chmod(0o750)
    with started(backend, replace(spec, identity=identity)) as guest:
        (qemu,) = qemus(spec)
        assert qemu.uids().real == identity.uid
        write(guest, blocks(guest)[0], 512)
    assert content(spec.disks[0], 513) == b"\7" * 512 + b"."


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_disk_that_is_not_there_is_named(
    backend: str, make_backend: MakeBackend, spec: GuestSpec, directory: Path
) -> None:
    gone = GuestDisk(directory / "gone", True)
    with listening(spec.console_socket), pytest.raises(InfraError, match="cannot open disk"):
        make_backend(backend).start(replace(spec, disks=(gone,)))
    assert not qemus(spec)
