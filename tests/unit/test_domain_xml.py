"""The libvirt domain: the same machine as QEMU's command line, in libvirt's own elements."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from guest_specs import FIRMWARE, cpus_of_nodes, guest_spec, guest_specs, numbers, values
from hypothesis import given

from harness.guest.devices import Network
from harness.guest.domain_xml import (
    QEMU_NAMESPACE,
    command_line_items,
    domain_xml,
    memoryless_emulator,
    needs_wrapped_emulator,
)
from harness.guest.qemu_argv import qemu_argv
from harness.guest.spec import GuestSpec, display_name
from harness.guest.topology import Node, Topology
from harness.host.accelerator import Accelerator
from harness.image.media import DirectKernel, EfiDirectory

QEMU_ARGS = f"{{{QEMU_NAMESPACE}}}commandline/{{{QEMU_NAMESPACE}}}arg"


def parsed(spec: GuestSpec) -> Xml.Element:
    return Xml.fromstring(domain_xml(spec))  # noqa: S314 - we wrote it


def found(root: Xml.Element, path: str) -> Xml.Element:
    element = root.find(path)
    assert element is not None, path
    return element


@given(guest_specs())
def test_nodes_cpus_memory_and_distances_are_native_elements(spec: GuestSpec) -> None:
    root = parsed(spec)
    assert found(root, "memory").attrib == {"unit": "MiB"}
    assert found(root, "memory").text == str(spec.topology.memory_mib)
    assert found(root, "vcpu").text == str(spec.cpus)
    cells = root.findall("cpu/numa/cell")
    assert [cell.attrib["id"] for cell in cells] == [str(i) for i in range(len(cells))]
    assert [int(cell.attrib["memory"]) for cell in cells] == [
        node.memory_mib for node in spec.topology.nodes
    ]
    cpus = [numbers(cell.attrib.get("cpus", "")) for cell in cells]
    assert tuple(cpus) == spec.topology.cpu_ids()
    rows = [
        tuple(int(sibling.attrib["value"]) for sibling in cell.findall("distances/sibling"))
        for cell in cells
    ]
    assert tuple(rows) == spec.topology.distances


@given(guest_specs())
def test_command_line_and_xml_describe_the_same_machine(spec: GuestSpec) -> None:
    argv, root = qemu_argv(spec), parsed(spec)
    (smp,) = values(argv, "-smp")
    cpus, *levels = smp.split(",")
    topology = found(root, "cpu/topology").attrib
    assert cpus == found(root, "vcpu").text
    assert dict(level.split("=") for level in levels) == topology
    assert int(cpus) == int(topology["sockets"]) * int(topology["cores"]) * int(topology["threads"])
    cells = root.findall("cpu/numa/cell")
    assert cpus_of_nodes(argv) == [numbers(cell.attrib.get("cpus", "")) for cell in cells]
    sizes = [int(cell.attrib["memory"]) for cell in cells]
    backends = values(argv, "-object")
    assert [int(value.rpartition("size=")[2].removesuffix("M")) for value in backends] == [
        size for size in sizes if size
    ]
    more = [arg.attrib["value"] for arg in root.findall(QEMU_ARGS)]
    (model,) = values(argv, "-cpu")
    assert (model in more) is (spec.topology.package.threads > 1)


@given(guest_specs())
def test_serial_ports_and_disks_are_native_elements(spec: GuestSpec) -> None:
    root = parsed(spec)
    serials = root.findall("devices/serial")
    assert [found(serial, "source").attrib for serial in serials] == [
        {"mode": "connect", "path": str(path)} for path in spec.all_serial_sockets
    ]
    directories = [disk.attrib["dir"] for disk in root.findall("devices/disk/source[@dir]")]
    assert directories == (
        [str(spec.media.directory)] if isinstance(spec.media, EfiDirectory) else []
    )


@given(guest_specs())
def test_disks_are_the_same_as_on_the_command_line(spec: GuestSpec) -> None:
    argv, disks = qemu_argv(spec), parsed(spec).findall("devices/disk[@type='file']")
    nodes = [json.loads(value) for value in values(argv, "-blockdev")]
    named = {node["node-name"]: node for node in nodes}
    assert len(disks) == len(spec.disks)
    for number, disk in enumerate(disks):
        node = named[f"disk{number}"]
        assert (disk.find("readonly") is not None) is node["read-only"]
        assert found(disk, "target").attrib["bus"] == "virtio"
        slot = int(found(disk, "address").attrib["slot"], 16)
        device = f"virtio-blk-pci,drive=disk{number},bus=pcie.0,addr={slot:#x}"
        assert device in values(argv, "-device")
        assert chain(disk, found(disk, "driver").attrib["type"]) == node_chain(node)
    targets = [disk.attrib["dev"] for disk in parsed(spec).findall("devices/disk/target")]
    assert len(set(targets)) == len(targets)


def chain(element: Xml.Element, kind: str) -> list[tuple[str, str]]:
    """Format and file of a libvirt disk and of all below it."""
    here = [(kind, found(element, "source").attrib["file"])]
    lower = element.find("backingStore")
    if lower is None or lower.find("source") is None:
        assert lower is not None or kind == "raw", "libvirt would read the header"
        return here
    return here + chain(lower, found(lower, "format").attrib["type"])


def node_chain(node: dict[str, Any]) -> list[tuple[str, str]]:
    here = [(node["driver"], node["file"]["filename"])]
    return here + (node_chain(node["backing"]) if node.get("backing") else [])


def test_the_network_is_that_of_the_command_line_and_no_other() -> None:
    spec = guest_spec(network=Network(2222))
    (item,) = [item for item in command_line_items(spec) if "-netdev" in item.args]
    assert set(item.args) < set(qemu_argv(spec))
    assert "restrict=on" in item.args[1]
    assert parsed(spec).find("devices/interface") is None
    assert not any("-netdev" in each.args for each in command_line_items(guest_spec()))


@given(guest_specs())
def test_every_argument_past_libvirt_is_listed_with_its_reason(spec: GuestSpec) -> None:
    items = command_line_items(spec)
    listed = [argument for item in items for argument in item.args]
    assert [arg.attrib["value"] for arg in parsed(spec).findall(QEMU_ARGS)] == listed
    assert all(item.reason for item in items)
    for item in items:
        assert item.reason in domain_xml(spec)


def distance_items(topology: Topology) -> list[tuple[str, ...]]:
    items = command_line_items(guest_spec(topology))
    return [item.args for item in items if "-numa" in item.args]


def test_distances_that_libvirt_drops_are_given_past_it() -> None:
    assert distance_items(Topology.even(2)) == [
        ("-numa", "dist,src=0,dst=1,val=20", "-numa", "dist,src=1,dst=0,val=20")
    ]
    assert distance_items(Topology.even(1)) == []
    assert distance_items(Topology((Node(1, 512), Node(1, 512)), ((10, 21), (21, 10)))) == []


@pytest.mark.parametrize(
    ("accelerator", "kind", "mode", "withheld"),
    [
        (Accelerator.TCG, "qemu", "maximum", ["monitor", "erms", "la57"]),
        (Accelerator.KVM, "kvm", "host-passthrough", []),
    ],
)
def test_the_accelerator_decides_domain_type_and_cpu(
    accelerator: Accelerator, kind: str, mode: str, withheld: list[str]
) -> None:
    root = parsed(guest_spec(accelerator=accelerator))
    assert root.attrib["type"] == kind
    assert found(root, "cpu").attrib["mode"] == mode
    assert [feature.attrib["name"] for feature in root.findall("cpu/feature")] == withheld
    assert {feature.attrib["policy"] for feature in root.findall("cpu/feature")} <= {"disable"}


def test_a_guest_with_shared_memory_can_be_opened_and_is_a_new_generation() -> None:
    spec = replace(guest_spec(), ram={0: 7, 1: 8})
    root = parsed(spec)
    assert found(root, "memoryBacking/source").attrib == {"type": "memfd"}
    assert found(root, "memoryBacking/access").attrib == {"mode": "shared"}
    assert not found(root, "genid").text
    assert root.find(QEMU_ARGS + "[@value='defer']") is None
    restored = parsed(replace(spec, saved=Path("/state")))
    assert found(restored, QEMU_ARGS + "[@value='defer']").attrib["value"] == "defer"
    others = parsed(guest_spec())
    assert others.find("genid") is None
    assert others.find("memoryBacking") is None


def test_an_efi_directory_boots_from_read_only_firmware_without_variables() -> None:
    root = parsed(guest_spec())
    loader = found(root, "os/loader")
    assert loader.text == str(FIRMWARE)
    assert loader.attrib == {"readonly": "yes", "type": "pflash", "stateless": "yes"}
    assert root.find("os/kernel") is None
    assert found(root, "devices/disk/address").attrib["slot"] == "0x02"


def test_a_direct_kernel_boots_without_firmware_and_disk() -> None:
    root = parsed(guest_spec(media=DirectKernel(Path("/k/kernel.elf"), "plant=a<b&c")))
    assert found(root, "os/kernel").text == "/k/kernel.elf"
    assert found(root, "os/cmdline").text == "plant=a<b&c"
    assert root.find("os/loader") is None
    assert root.find("devices/disk") is None


def test_the_domain_is_gone_whatever_ends_the_guest() -> None:
    root = parsed(guest_spec())
    endings = [root.findtext(event) for event in ("on_poweroff", "on_reboot", "on_crash")]
    assert endings == ["destroy"] * 3


def test_two_guests_of_one_kind_have_different_domain_names() -> None:
    one, two = guest_spec(), guest_spec(console_socket=Path("/run/harness/other"))
    names = [display_name(spec.name, spec.console_socket) for spec in (one, two)]
    assert names[0] != names[1]
    assert names[0].startswith("harness-numa2-kasan-")


def test_the_emulator_is_libvirts_choice_unless_a_node_has_no_memory() -> None:
    assert parsed(guest_spec()).find("devices/emulator") is None
    memoryless = guest_spec(Topology.of([Node(1, 512), Node(1, 0)]))
    assert needs_wrapped_emulator(memoryless)
    assert not needs_wrapped_emulator(guest_spec())
    assert "<emulator>/x/qemu</emulator>" in domain_xml(memoryless, Path("/x/qemu"))


@pytest.mark.parametrize(("kind", "more"), [("ram", ""), ("memfd", '"share":true,')])
def test_the_emulator_for_memoryless_nodes_leaves_out_empty_backends_only(
    tmp_path: Path, kind: str, more: str
) -> None:
    echo = tmp_path / "qemu it's"
    echo.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(memoryless_emulator(str(echo)))
    for path in (echo, wrapper):
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    full, empty = (
        f'{{"qom-type":"memory-backend-{kind}","id":"ram-node{node}",{more}"size":{size}}}'
        for node, size in ((1, 1048576), (0, 0))
    )
    secret = '{"qom-type":"secret","id":"masterKey0","format":"raw","file":"/a b"}'
    given_words = [
        *("-name", "guest=a b", "-object", secret, "-object", empty),
        *("-numa", "node,nodeid=0,cpus=0,memdev=ram-node0", "-object", full),
        *("-numa", "node,nodeid=1,cpus=1,memdev=ram-node1", "-append", "", "*"),
    ]
    passed_on = subprocess.run(
        [wrapper, *given_words], check=True, capture_output=True, text=True, env=dict(os.environ)
    ).stdout.split("\n")[:-1]
    assert passed_on == [
        *("-name", "guest=a b", "-object", secret),
        *("-numa", "node,nodeid=0,cpus=0", "-object", full),
        *("-numa", "node,nodeid=1,cpus=1,memdev=ram-node1", "-append", "", "*"),
    ]
