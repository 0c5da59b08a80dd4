"""The command line for QEMU, and what a guest's specification refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from guest_specs import FIRMWARE, cpus_of_nodes, guest_spec, guest_specs, values
from hypothesis import given

from harness.errors import HarnessError, InfraError, UsageError
from harness.guest.devices import DiskFormat, GuestDisk, Network
from harness.guest.qemu_argv import qemu_argv
from harness.guest.spec import GuestSpec
from harness.guest.topology import Node, Package, Topology, even_distances
from harness.host.accelerator import Accelerator
from harness.image.media import DirectKernel, EfiDirectory, Media


def numa(spec: GuestSpec) -> list[str]:
    return values(qemu_argv(spec), "-numa")


def test_nodes_are_given_with_their_cpus_and_memory() -> None:
    spec = guest_spec(Topology.of([Node(2, 512), Node(1, 1536)]))
    argv = qemu_argv(spec)
    assert values(argv, "-m") == ["2048M"]
    assert values(argv, "-smp") == ["3,sockets=3,dies=1,cores=1,threads=1"]
    assert values(argv, "-object") == [
        "memory-backend-ram,id=ram-node0,size=512M",
        "memory-backend-ram,id=ram-node1,size=1536M",
    ]
    assert numa(spec) == [
        "node,nodeid=0,cpus=0-1,memdev=ram-node0",
        "node,nodeid=1,cpus=2,memdev=ram-node1",
        "dist,src=0,dst=1,val=20",
        "dist,src=1,dst=0,val=20",
    ]


def test_a_node_without_memory_has_no_memory_backend() -> None:
    spec = guest_spec(Topology.of([Node(1, 512), Node(1, 0)]))
    assert "node,nodeid=1,cpus=1" in numa(spec)
    assert len(values(qemu_argv(spec), "-object")) == 1


def test_a_node_without_cpus_names_none() -> None:
    spec = guest_spec(Topology.of([Node(1, 512), Node(0, 512)]))
    assert "node,nodeid=1,memdev=ram-node1" in numa(spec)


def test_distances_are_given_in_both_directions() -> None:
    spec = guest_spec(Topology((Node(1, 512), Node(1, 512)), ((10, 15), (25, 10))))
    assert numa(spec)[-2:] == ["dist,src=0,dst=1,val=15", "dist,src=1,dst=0,val=25"]


def test_one_node_has_no_distances() -> None:
    assert numa(guest_spec(Topology.even(1))) == ["node,nodeid=0,cpus=0,memdev=ram-node0"]


@pytest.mark.parametrize(
    ("accelerator", "options"),
    [
        (Accelerator.TCG, ["tcg,thread=multi", "max,monitor=off,erms=off,la57=off"]),
        (Accelerator.KVM, ["kvm", "host"]),
    ],
)
def test_the_accelerator_decides_the_cpu(accelerator: Accelerator, options: list[str]) -> None:
    argv = qemu_argv(guest_spec(accelerator=accelerator))
    assert values(argv, "-accel") + values(argv, "-cpu") == options


def test_the_guest_has_nothing_it_was_not_given() -> None:
    argv = qemu_argv(guest_spec())
    assert {"-nodefaults", "-no-user-config", "-no-reboot"} <= set(argv)
    assert values(argv, "-display") == ["none"]
    assert {device.split(",")[0] for device in values(argv, "-device")} == {
        "virtio-blk-pci",
        "isa-serial",
    }


def test_the_sata_controller_is_left_out_unless_asked_for() -> None:
    assert "q35,sata=off" in qemu_argv(guest_spec())
    assert "q35,sata=on" in qemu_argv(guest_spec(sata=True))


def test_a_directory_is_served_read_only_to_the_firmware() -> None:
    argv = qemu_argv(guest_spec(media=EfiDirectory(Path('/images/a,b "c"'))))
    firmware, media = (json.loads(value) for value in values(argv, "-blockdev"))
    assert firmware["filename"] == str(FIRMWARE)
    assert firmware["read-only"] is True
    assert media["dir"] == '/images/a,b "c"'
    assert media["read-only"] is True
    assert media["rw"] is False
    assert "-kernel" not in argv


def test_a_direct_kernel_needs_no_firmware_and_no_disk() -> None:
    argv = qemu_argv(guest_spec(media=DirectKernel(Path("/k/kernel.elf"), "plant=overflow")))
    assert values(argv, "-kernel") == ["/k/kernel.elf"]
    assert values(argv, "-append") == ["plant=overflow"]
    assert values(argv, "-blockdev") == []


def test_serial_ports_connect_to_listening_sockets_in_order() -> None:
    argv = qemu_argv(guest_spec(serial_sockets=(Path("/run/a,b"),)))
    assert values(argv, "-chardev")[:2] == [
        "socket,id=serial0,path=/run/harness/console,server=off",
        "socket,id=serial1,path=/run/a,,b,server=off",
    ]
    assert "isa-serial,chardev=serial1,index=1" in values(argv, "-device")


def test_cpus_may_be_numbered_in_turn_and_be_threads_of_cores() -> None:
    nodes = (Node(3, 512, (0, 2, 3)), Node(1, 512, (1,)))
    argv = qemu_argv(guest_spec(Topology(nodes, even_distances(2))))
    assert "node,nodeid=0,cpus=0,cpus=2-3,memdev=ram-node0" in values(argv, "-numa")
    threads = Topology((Node(4, 512), Node(4, 512)), even_distances(2), Package(2, 2))
    argv = qemu_argv(guest_spec(threads))
    assert values(argv, "-smp") == ["8,sockets=2,dies=1,cores=2,threads=2"]
    assert values(argv, "-cpu") == ["max,vendor=GenuineIntel,monitor=off,erms=off,la57=off"]


def test_the_guest_has_a_network_only_if_asked_for() -> None:
    assert values(qemu_argv(guest_spec()), "-netdev") == []
    argv = qemu_argv(guest_spec(network=Network()))
    assert values(argv, "-netdev") == [
        "user,id=net0,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:0-:22"
    ]
    assert values(argv, "-device")[1] == ("virtio-net-pci,netdev=net0,romfile=,bus=pcie.0,addr=0x3")


def test_disks_are_in_slots_of_their_own_and_overlays_name_what_they_lie_on() -> None:
    world = GuestDisk(Path("/images/a,b"), True)
    root = GuestDisk(Path("/run/root"), False, DiskFormat.QCOW2, world)
    argv = qemu_argv(guest_spec(media=DirectKernel(Path("/k")), disks=(root, world)))
    first, second = (json.loads(value) for value in values(argv, "-blockdev"))
    cache = {"no-flush": True}
    base = {
        "driver": "raw", "read-only": True, "cache": cache,
        "file": {"driver": "file", "filename": "/images/a,b", "read-only": True, "cache": cache},
    }  # fmt: skip
    assert second == {**base, "node-name": "disk1"}
    assert first == {
        "driver": "qcow2", "read-only": False, "cache": cache, "node-name": "disk0",
        "file": {"driver": "file", "filename": "/run/root", "read-only": False, "cache": cache},
        "backing": base,
    }  # fmt: skip
    assert values(argv, "-device")[:2] == [
        "virtio-blk-pci,drive=disk0,bus=pcie.0,addr=0x4",
        "virtio-blk-pci,drive=disk1,bus=pcie.0,addr=0x5",
    ]


def test_what_a_qcow2_file_names_in_its_own_header_is_not_opened() -> None:
    alone = GuestDisk(Path("/imported"), True, DiskFormat.QCOW2)
    (node,) = values(
        qemu_argv(guest_spec(media=DirectKernel(Path("/k")), disks=(alone,))), "-blockdev"
    )
    assert json.loads(node)["backing"] is None


def test_open_files_replace_the_paths_of_disks() -> None:
    world = GuestDisk(Path("/images/world"), True)
    root = GuestDisk(Path("/run/root"), False, DiskFormat.QCOW2, world)
    spec = guest_spec(media=DirectKernel(Path("/k")), disks=(root,))
    argv = qemu_argv(spec, descriptors={"disk0": 7, "disk0.1": 9})
    assert values(argv, "-add-fd") == ["fd=7,set=7", "fd=9,set=9"]
    (node,) = (json.loads(value) for value in values(argv, "-blockdev"))
    assert node["file"]["filename"] == "/dev/fdset/7"
    assert node["backing"]["file"]["filename"] == "/dev/fdset/9"
    assert "/images/world" not in " ".join(argv)


@given(guest_specs())
def test_no_two_devices_share_a_slot(spec: GuestSpec) -> None:
    devices = values(qemu_argv(spec), "-device")
    slots = [word for device in devices for word in device.split(",") if word.startswith("addr=")]
    assert len(set(slots)) == len(slots)


@pytest.mark.parametrize(
    ("format_", "read_only", "cause"),
    [
        (DiskFormat.RAW, True, "a raw file is no overlay"),
        (DiskFormat.QCOW2, False, "not read-only"),
    ],
)
def test_an_overlay_that_cannot_be_is_refused(
    format_: DiskFormat, read_only: bool, cause: str
) -> None:
    lower = GuestDisk(Path("/lower"), read_only)
    with pytest.raises(UsageError, match=cause):
        GuestDisk(Path("/upper"), False, format_, lower)


@given(guest_specs())
def test_every_cpu_and_every_byte_belongs_to_exactly_one_node(spec: GuestSpec) -> None:
    found = cpus_of_nodes(qemu_argv(spec))
    assert tuple(found) == spec.topology.cpu_ids()
    assert sorted(cpu for cpus in found for cpu in cpus) == list(range(spec.cpus))
    backends = values(qemu_argv(spec), "-object")
    sizes = [int(value.rpartition("size=")[2].removesuffix("M")) for value in backends]
    assert sum(sizes) == spec.topology.memory_mib
    assert all(sizes)


@pytest.mark.parametrize(
    ("change", "kind", "cause"),
    [
        ({"name": "a/b"}, UsageError, "guest name 'a/b'"),
        ({"name": ""}, UsageError, "guest name ''"),
        ({"serial_sockets": (Path("/s"),) * 4}, UsageError, "5 serial ports"),
        ({"disks": (GuestDisk(Path("/d"), True),) * 9}, UsageError, "9 disks"),
        ({"console_socket": Path("/" + "x" * 100)}, InfraError, "too long for a unix socket"),
    ],
)
def test_a_specification_that_no_host_can_start_is_refused(
    change: dict[str, object], kind: type[HarnessError], cause: str
) -> None:
    media: Media = EfiDirectory(Path("/images/one"))
    good: dict[str, object] = {
        "name": "numa2",
        "topology": Topology.even(2),
        "media": media,
        "accelerator": Accelerator.TCG,
        "firmware": FIRMWARE,
        "console_socket": Path("/run/console"),
    }
    with pytest.raises(kind) as refused:
        GuestSpec(**{**good, **change})  # type: ignore[arg-type]
    assert cause in refused.value.message
    assert refused.value.remedy


def test_qemu_starts_no_uefi_without_firmware() -> None:
    """A machine of the user's own has some."""
    spec = GuestSpec(
        "x", Topology.even(1), EfiDirectory(Path("/image")), Accelerator.TCG, None, Path("/s")
    )
    with pytest.raises(UsageError, match="has no firmware"):
        qemu_argv(spec)


def test_shared_memory_has_a_backend_for_each_node_that_has_memory() -> None:
    nodes = (Node(1, 512), Node(1, 0), Node(1, 256))
    topology = Topology(nodes, even_distances(3))
    argv = qemu_argv(replace(guest_spec(topology), ram={0: 7, 2: 9}))
    backends = [word for word in argv if word.startswith("memory-backend-")]
    assert backends == [
        "memory-backend-file,id=ram-node0,size=512M,mem-path=/proc/self/fd/7,share=on",
        "memory-backend-file,id=ram-node2,size=256M,mem-path=/proc/self/fd/9,share=on",
    ]
    assert "vmgenid,guid=auto" in argv
    assert "-incoming" not in argv


def test_a_guest_with_a_saved_state_waits_for_it() -> None:
    argv = qemu_argv(replace(guest_spec(), ram={0: 7, 1: 8}, saved=Path("/cache/state")))
    assert argv[argv.index("-incoming") + 1] == "defer"
    assert "/cache/state" not in " ".join(argv)
