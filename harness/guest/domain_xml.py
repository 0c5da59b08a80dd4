"""Converts a guest's specification to libvirt's domain XML. Pure.

Follows libvirt's ``formatdomain.html`` from 8.6 on. Whatever has an element in libvirt is an
element; the rest is in ``command_line_items``, each with its reason.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as Xml

from harness.arch import GUEST
from harness.guest.devices import FIRST_DISK_SLOT, DiskFormat, GuestDisk, network_options
from harness.guest.qemu_argv import INCOMING, control_options, cpu_options, distance_options
from harness.guest.spec import DISK_SLOT, GuestSpec, display_name
from harness.guest.topology import Topology, cpu_ranges, even_distances
from harness.host.accelerator import Accelerator
from harness.image.media import DirectKernel, EfiDirectory

QEMU_NAMESPACE: Final = "http://libvirt.org/schemas/domain/qemu/1.0"

_DOMAIN_TYPE: Final = {Accelerator.TCG: "qemu", Accelerator.KVM: "kvm"}

_MEMORYLESS_EMULATOR: Final = """\
#!/bin/sh
# libvirt gives every NUMA cell a memory backend, also a cell without memory, and QEMU refuses
# a backend of 0 bytes. This script removes those backends and runs QEMU.
count=$#
empty=
while [ "$count" -gt 0 ]; do
    word=$1
    shift
    count=$((count - 1))
    case $word in
    -object)
        case $1 in
        '{"qom-type":"memory-backend-'*'","id":"ram-node'[0-9]'",'*'"size":0}')
            name=${1#*'"id":"'}
            empty="$empty ,memdev=${name%%'"'*} "
            shift
            count=$((count - 1))
            continue
            ;;
        esac
        ;;
    node,*,memdev=ram-node[0-9])
        case $empty in
        *" ,memdev=${word##*,memdev=} "*) word=${word%,memdev=*} ;;
        esac
        ;;
    esac
    set -- "$@" "$word"
done
exec @QEMU@ "$@"
"""


@dataclass(frozen=True, slots=True)
class CommandLineItem:
    """Arguments passed to QEMU directly, and why libvirt cannot express them."""

    args: tuple[str, ...]
    reason: str


def command_line_items(spec: GuestSpec) -> tuple[CommandLineItem, ...]:
    """Return the arguments for which libvirt has no element."""
    items = []
    if not spec.standalone:
        items.append(
            CommandLineItem(
                tuple(control_options(spec.control_socket)),
                "libvirt's events do not tell a reset from a power-off and may not come at all",
            )
        )
    if not spec.sata and GUEST.board.sata:
        items.append(
            CommandLineItem(
                ("-machine", f"{GUEST.board.sata}=off"),
                f"{GUEST.board.machine}'s SATA controller is built in, no element leaves it out; "
                "FreeBSD's AHCI driver loops on it under KMSAN (FAILURE - create data_map)",
            )
        )
    if spec.topology.package.threads > 1:
        items.append(
            CommandLineItem(
                cpu_options(spec.accelerator, spec.topology.package),
                "libvirt has no element for the CPU properties that describe threads and cores",
            )
        )
    distances = tuple(distance_options(spec.topology))
    if distances and spec.topology.distances == even_distances(len(spec.topology.nodes)):
        items.append(
            CommandLineItem(
                distances,
                "libvirt drops distances that are all 10 and 20, and the guest would have no SLIT",
            )
        )
    if spec.network is not None:
        items.append(
            CommandLineItem(
                network_options(spec.network),
                "libvirt's user networking (9.0) neither forwards a port nor restricts the guest",
            )
        )
    if spec.saved is not None:
        items.append(
            CommandLineItem(
                INCOMING,
                "libvirt restores what it saved itself: only under the saved domain's name, and "
                "with all memory in the file",
            )
        )
    return tuple(items)


def needs_wrapped_emulator(spec: GuestSpec) -> bool:
    """Return whether libvirt must start ``memoryless_emulator`` instead of QEMU (seen with 9.0)."""
    return any(node.memory_mib == 0 for node in spec.topology.nodes)


def memoryless_emulator(program: str) -> str:
    """Return a script that starts QEMU (``program``) for a guest with a memoryless node."""
    return _MEMORYLESS_EMULATOR.replace("@QEMU@", shlex.quote(program))


def domain_xml(spec: GuestSpec, emulator: Path | None = None) -> str:
    """Return the XML of a transient domain, which ends when the guest powers off or resets.

    Args:
        spec: the guest.
        emulator: started instead of libvirt's QEMU.
    """
    Xml.register_namespace("qemu", QEMU_NAMESPACE)
    domain = Xml.Element("domain", type=_DOMAIN_TYPE[spec.accelerator])
    _text(domain, "name", display_name(spec.name, spec.console_socket))
    _text(domain, "memory", str(spec.topology.memory_mib), unit="MiB")
    _text(domain, "vcpu", str(spec.cpus), placement="static")
    _memory(domain, spec)
    _boot(domain, spec)
    _features(domain)
    _cpu(domain, spec)
    for event in ("on_poweroff", "on_reboot", "on_crash"):
        _text(domain, event, "destroy")
    _devices(domain, spec, emulator)
    _command_line(domain, spec)
    Xml.indent(domain)
    return Xml.tostring(domain, encoding="unicode") + "\n"


def _memory(domain: Xml.Element, spec: GuestSpec) -> None:
    """Let QEMU allocate memory that other processes can open, and a generation id."""
    if not spec.ram:
        return
    backing = Xml.SubElement(domain, "memoryBacking")
    Xml.SubElement(backing, "source", type="memfd")
    Xml.SubElement(backing, "access", mode="shared")
    Xml.SubElement(domain, "genid")  # empty: libvirt makes a new one


def _boot(domain: Xml.Element, spec: GuestSpec) -> None:
    os = Xml.SubElement(domain, "os")
    _text(os, "type", "hvm", arch=GUEST.qemu_arch, machine=GUEST.board.machine)
    match spec.media:
        case DirectKernel(kernel, append):
            _text(os, "kernel", str(kernel))
            if append:
                _text(os, "cmdline", append)
        case EfiDirectory():
            _text(os, "loader", str(spec.flash), readonly="yes", type="pflash", stateless="yes")


def _features(domain: Xml.Element) -> None:
    features = Xml.SubElement(domain, "features")
    for feature in GUEST.board.features:
        Xml.SubElement(features, feature)


def _cpu(domain: Xml.Element, spec: GuestSpec) -> None:
    cpu = Xml.SubElement(domain, "cpu", mode=GUEST.cpus[spec.accelerator].mode)
    package = spec.topology.package
    Xml.SubElement(
        cpu,
        "topology",
        sockets=str(spec.topology.sockets),
        dies="1",
        cores=str(package.cores),
        threads=str(package.threads),
    )
    for feature in GUEST.cpus[spec.accelerator].withheld:
        Xml.SubElement(cpu, "feature", policy="disable", name=feature)
    numa = Xml.SubElement(cpu, "numa")
    for attributes, distances in _cells(spec.topology):
        cell = Xml.SubElement(numa, "cell", attributes)
        siblings = Xml.SubElement(cell, "distances")
        for number, distance in enumerate(distances):
            Xml.SubElement(siblings, "sibling", id=str(number), value=str(distance))


def _cells(topology: Topology) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    rows = zip(topology.nodes, topology.cpu_ids(), topology.distances, strict=True)
    for number, (node, ids, distances) in enumerate(rows):
        attributes = {"id": str(number), "memory": str(node.memory_mib), "unit": "MiB"}
        if ids:
            attributes["cpus"] = ",".join(cpu_ranges(ids))
        yield attributes, distances


def _devices(domain: Xml.Element, spec: GuestSpec, emulator: Path | None) -> None:
    devices = Xml.SubElement(domain, "devices")
    if emulator is not None:
        _text(devices, "emulator", str(emulator))
    if isinstance(spec.media, EfiDirectory):
        _volume(devices, spec.media.directory)
    for number, each in enumerate(spec.disks):
        _disk(devices, number, each)
    for number, path in enumerate(spec.all_serial_sockets):
        serial = Xml.SubElement(devices, "serial", type="pty" if spec.standalone else "unix")
        if not spec.standalone:
            Xml.SubElement(serial, "source", mode="connect", path=str(path))
        Xml.SubElement(serial, "target", type=GUEST.board.serial_target, port=str(number))
    # Without these two, libvirt adds a USB controller and a memory balloon of its own.
    Xml.SubElement(devices, "controller", type="usb", model="none")
    Xml.SubElement(devices, "memballoon", model="none")


def _volume(devices: Xml.Element, directory: Path) -> None:
    disk = Xml.SubElement(devices, "disk", type="dir", device="disk")
    Xml.SubElement(disk, "driver", name="qemu", type="fat")
    Xml.SubElement(disk, "source", dir=str(directory))
    Xml.SubElement(disk, "target", dev="vda", bus="virtio")
    Xml.SubElement(disk, "readonly")
    Xml.SubElement(disk, "boot", order="1")
    _slot(disk, DISK_SLOT)


def _disk(devices: Xml.Element, number: int, disk: GuestDisk) -> None:
    element = Xml.SubElement(devices, "disk", type="file", device="disk")
    Xml.SubElement(element, "driver", name="qemu", type=disk.format, cache="unsafe")
    Xml.SubElement(element, "source", file=str(disk.path))
    if disk.format is DiskFormat.QCOW2:
        _backing(element, disk.backing)
    Xml.SubElement(element, "target", dev=f"vd{'bcdefghi'[number]}", bus="virtio")
    if disk.read_only:
        Xml.SubElement(element, "readonly")
    _slot(element, FIRST_DISK_SLOT + number)


def _backing(overlay: Xml.Element, disk: GuestDisk | None) -> None:
    """Name what an overlay lies on; an empty element keeps libvirt from reading the header."""
    if disk is None:
        Xml.SubElement(overlay, "backingStore")
        return
    store = Xml.SubElement(overlay, "backingStore", type="file")
    Xml.SubElement(store, "format", type=disk.format)
    Xml.SubElement(store, "source", file=str(disk.path))
    _backing(store, disk.backing)


def _slot(element: Xml.Element, slot: int) -> None:
    Xml.SubElement(
        element, "address", type="pci", domain="0x0000", bus="0x00", slot=f"{slot:#04x}",
        function="0x0",
    )  # fmt: skip


def _command_line(domain: Xml.Element, spec: GuestSpec) -> None:
    items = command_line_items(spec)
    if not items:
        return
    command_line = Xml.SubElement(domain, f"{{{QEMU_NAMESPACE}}}commandline")
    for item in items:
        command_line.append(Xml.Comment(f" {item.reason} ".replace("--", "- -")))
        for arg in item.args:
            Xml.SubElement(command_line, f"{{{QEMU_NAMESPACE}}}arg", value=arg)


def _text(parent: Xml.Element, tag: str, text: str, **attributes: str) -> None:
    Xml.SubElement(parent, tag, attributes).text = text
