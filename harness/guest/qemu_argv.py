"""Converts a guest's specification to QEMU's command line. Pure.

The options are those of QEMU's ``qemu-options.hx`` (the manual page) from 7.2 on. The domain of
``harness.guest.domain_xml`` must give the same machine: the same order of nodes, the same CPU ids,
disks and network device in the same PCI slots.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.guest.devices import disk_options, network_options
from harness.guest.spec import DISK_SLOT, GuestSpec, display_name
from harness.guest.topology import ONE_CPU, Package, cpu_ranges
from harness.host.accelerator import Accelerator
from harness.host.sharedmemory import inherited_path
from harness.image.media import DirectKernel, EfiDirectory

if TYPE_CHECKING:
    from harness.guest.topology import Node, Topology

CONTROL: Final = "control"
"""Key of the control protocol's socket in the ``descriptors`` of ``qemu_argv``."""

INCOMING: Final = ("-incoming", "defer")
"""The options of a guest whose devices' state is loaded before it runs (``migration.py``)."""

SANDBOX: Final = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
"""QEMU's system call filter, as libvirt sets it (``qemuBuildSeccompSandboxCommandLine()``)."""

_ACCELERATION: Final = {
    Accelerator.TCG: "tcg,thread=multi",
    Accelerator.KVM: "kvm",
}


def qemu_argv(
    spec: GuestSpec, program: str = GUEST.program, descriptors: Mapping[str, int] | None = None
) -> tuple[str, ...]:
    """Return the command line of a QEMU that exits when the guest powers off or resets.

    Args:
        spec: the guest.
        program: QEMU.
        descriptors: open sockets and files that replace the specification's paths; keys are
            ``CONTROL``, ``serial_name()`` and ``disk_name()``.
    """
    fds = descriptors or {}
    return (
        program,
        *("-name", display_name(spec.name, spec.console_socket)),
        *("-sandbox", SANDBOX),
        *("-machine", machine_option(sata=spec.sata)),
        *acceleration_options(spec.accelerator, spec.topology.package),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *_topology(spec.topology, spec.ram),
        *_media(spec),
        *disk_options(spec.disks, fds),
        *network_options(spec.network),
        *_restorable(spec),
        *_serial_ports(spec, fds),
        *_control(spec, fds.get(CONTROL)),
    )


def acceleration_options(accelerator: Accelerator, package: Package = ONE_CPU) -> Iterator[str]:
    """Yield the options for the accelerator and the CPU model."""
    yield from ("-accel", _ACCELERATION[accelerator])
    yield from cpu_options(accelerator, package)


def cpu_options(accelerator: Accelerator, package: Package) -> tuple[str, str]:
    """Return the options for the CPU model."""
    cpu = GUEST.cpus[accelerator]
    more = cpu.with_threads if package.threads > 1 else ()
    return "-cpu", ",".join([cpu.model, *more, *(f"{name}=off" for name in cpu.withheld)])


def machine_option(*, sata: bool) -> str:
    """Return QEMU's machine type, with or without its SATA controller."""
    board = GUEST.board
    if not board.sata:
        return board.machine
    return f"{board.machine},{board.sata}={'on' if sata else 'off'}"


def _restorable(spec: GuestSpec) -> Iterator[str]:
    """Yield the options of a guest that is saved, or started from a saved state."""
    if spec.ram:
        yield from ("-device", "vmgenid,guid=auto")
    if spec.saved is not None:
        yield from INCOMING


def _topology(topology: Topology, ram: Mapping[int, int]) -> Iterator[str]:
    yield from ("-m", f"{topology.memory_mib}M")
    yield from ("-smp", _smp(topology))
    for number, (node, ids) in enumerate(zip(topology.nodes, topology.cpu_ids(), strict=True)):
        yield from _node(number, node, ids, ram.get(number))
    yield from distance_options(topology)


def distance_options(topology: Topology) -> Iterator[str]:
    """Yield an option for each pair of different nodes; one node has no SLIT."""
    for i, row in enumerate(topology.distances):
        for j, distance in enumerate(row):
            if i != j:
                yield from ("-numa", f"dist,src={i},dst={j},val={distance}")


def _smp(topology: Topology) -> str:
    package = topology.package
    levels = GUEST.board.levels.format(
        sockets=topology.sockets, cores=package.cores, threads=package.threads
    )
    return f"{topology.cpus},{levels}"


def _node(number: int, node: Node, ids: tuple[int, ...], shared: int | None) -> Iterator[str]:
    option = ",".join([f"node,nodeid={number}", *(f"cpus={each}" for each in cpu_ranges(ids))])
    if node.memory_mib:
        kind, where = "memory-backend-ram", ""
        if shared is not None:
            kind, where = "memory-backend-file", f",mem-path={inherited_path(shared)},share=on"
        yield from ("-object", f"{kind},id=ram-node{number},size={node.memory_mib}M{where}")
        option += f",memdev=ram-node{number}"
    yield from ("-numa", option)


def _media(spec: GuestSpec) -> Iterator[str]:
    match spec.media:
        case DirectKernel(kernel, append):
            yield from ("-kernel", str(kernel))
            if append:
                yield from ("-append", append)
        case EfiDirectory(directory):
            yield from _pflash(spec.flash)
            yield from ("-blockdev", _json(_fat_volume(directory)))
            yield from (
                "-device",
                f"virtio-blk-pci,drive=media,bus={GUEST.board.bus},addr={DISK_SLOT:#x},bootindex=1",
            )


def _pflash(code: Path) -> Iterator[str]:
    file = {"driver": "file", "filename": str(code), "node-name": "firmware", "read-only": True}
    yield from ("-blockdev", _json(file))
    yield from ("-machine", "pflash0=firmware")


def _fat_volume(directory: Path) -> dict[str, object]:
    return {
        "driver": "vvfat",
        "node-name": "media",
        "dir": str(directory),
        "floppy": False,
        "rw": False,
        "read-only": True,
    }


def serial_name(number: int) -> str:
    """Return the key of a serial port's socket; ports count from 0."""
    return f"serial{number}"


def _serial_ports(spec: GuestSpec, descriptors: Mapping[str, int]) -> Iterator[str]:
    for number, path in enumerate(spec.all_serial_sockets):
        name = serial_name(number)
        if spec.standalone:
            yield from ("-chardev", f"stdio,id={name},mux=on,signal=off")
        else:
            yield from ("-chardev", _socket(name, path, descriptors.get(name)))
        board = GUEST.board
        for word in board.serial_port if number else board.console_port:
            yield word.format(chardev=name, number=number)


def _control(spec: GuestSpec, descriptor: int | None) -> Iterator[str]:
    if spec.standalone:
        yield from ("-mon", f"chardev={serial_name(0)},mode=readline")  # Ctrl-A c switches to it
        return
    yield from control_options(spec.control_socket, descriptor)
    yield "-S"  # until the control protocol's "cont"


def control_options(path: Path, descriptor: int | None = None) -> Iterator[str]:
    """Yield the options that connect QEMU's control protocol to a socket."""
    yield from ("-chardev", _socket(CONTROL, path, descriptor))
    yield from ("-mon", f"chardev={CONTROL},mode=control")


def _socket(name: str, path: Path, descriptor: int | None) -> str:
    if descriptor is not None:
        return f"socket,id={name},fd={descriptor}"
    escaped = str(path).replace(",", ",,")
    return f"socket,id={name},path={escaped},server=off"


def _json(value: dict[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
