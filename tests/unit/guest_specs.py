"""Guest specifications for tests: one plain one, and any that there can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from hypothesis import strategies as st

from harness.guest.devices import DiskFormat, GuestDisk, Network
from harness.guest.spec import GuestSpec
from harness.guest.topology import Node, Package, Topology, even_distances
from harness.host.accelerator import Accelerator
from harness.image.media import DirectKernel, EfiDirectory, Media

FIRMWARE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
CONSOLE = Path("/run/harness/console")


def guest_spec(
    topology: Topology | None = None,
    media: Media | None = None,
    *,
    accelerator: Accelerator = Accelerator.TCG,
    console_socket: Path = CONSOLE,
    sata: bool = False,
    serial_sockets: tuple[Path, ...] = (),
    disks: tuple[GuestDisk, ...] = (),
    network: Network | None = None,
) -> GuestSpec:
    return GuestSpec(
        name="numa2-kasan",
        topology=topology or Topology.even(2),
        media=media or EfiDirectory(Path("/images/one")),
        accelerator=accelerator,
        firmware=FIRMWARE,
        console_socket=console_socket,
        sata=sata,
        serial_sockets=serial_sockets,
        disks=disks,
        network=network,
    )


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    sizes = st.builds(Node, st.integers(0, 8), st.integers(0, 1 << 16)).filter(
        lambda node: node.cpus or node.memory_mib
    )
    nodes = draw(st.permutations([Node(1, 512), *draw(st.lists(sizes, max_size=7))]))
    package = Package()
    if draw(st.booleans()):
        package = draw(st.builds(Package, st.integers(1, 2), st.integers(1, 2)))
        nodes = [replace(node, cpus=node.cpus * package.cpus) for node in nodes]
    if draw(st.booleans()):
        nodes = _numbered(nodes, package, draw)
    if draw(st.booleans()):
        return Topology(tuple(nodes), even_distances(len(nodes)), package)
    distance = st.integers(11, 255)
    table = tuple(
        tuple(10 if i == j else draw(distance) for j in range(len(nodes)))
        for i in range(len(nodes))
    )
    return Topology(tuple(nodes), table, package)


def _numbered(nodes: Sequence[Node], package: Package, draw: st.DrawFn) -> list[Node]:
    """The nodes with their cores in any order; the threads of each stay together."""
    cores = [number for number, node in enumerate(nodes) for _ in range(node.cpus)]
    homes = draw(st.permutations(cores[:: package.threads]))
    numbers: dict[int, list[int]] = {}
    for core, home in enumerate(homes):
        first = core * package.threads
        numbers.setdefault(home, []).extend(range(first, first + package.threads))
    return [
        replace(node, numbers=tuple(numbers.get(place, ()))) for place, node in enumerate(nodes)
    ]


def values(argv: Sequence[str], option: str) -> list[str]:
    """What stands behind an option, wherever it is given."""
    return [value for name, value in pairwise(argv) if name == option]


def numbers(text: str) -> tuple[int, ...]:
    """Numbers of CPUs, as QEMU and libvirt write them: ``0,2-3``."""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def cpus_of_nodes(argv: Sequence[str]) -> list[tuple[int, ...]]:
    """The CPUs of each node of QEMU's command line."""
    nodes = [value.split(",") for value in values(argv, "-numa") if value.startswith("node,")]
    return [
        numbers(",".join(word[len("cpus=") :] for word in words if word.startswith("cpus=")))
        for words in nodes
    ]


def paths() -> st.SearchStrategy[Path]:
    """Paths with the characters that command lines and XML treat as special."""
    names = st.text(" abcé,=:\"'<&>%\\{}", min_size=1, max_size=8)
    return names.map(lambda name: Path("/run", f"x{name}"))


def disks() -> st.SearchStrategy[GuestDisk]:
    """Disks, also overlays of up to three files."""
    raw = st.builds(GuestDisk, paths(), st.just(True))
    whole = raw | st.builds(GuestDisk, paths(), st.just(True), st.just(DiskFormat.QCOW2))
    lower = st.recursive(
        whole,
        lambda below: st.builds(
            GuestDisk, paths(), st.just(True), st.just(DiskFormat.QCOW2), below
        ),
        max_leaves=2,
    )
    return lower.flatmap(lambda disk: st.builds(replace, st.just(disk), read_only=st.booleans()))


@st.composite
def guest_specs(draw: st.DrawFn) -> GuestSpec:
    return guest_spec(
        draw(topologies()),
        draw(st.one_of(st.builds(EfiDirectory, paths()), st.builds(DirectKernel, paths()))),
        accelerator=draw(st.sampled_from([Accelerator.TCG, Accelerator.KVM])),
        console_socket=draw(paths()),
        sata=draw(st.booleans()),
        serial_sockets=tuple(draw(st.lists(paths(), max_size=3))),
        disks=tuple(draw(st.lists(disks(), max_size=2))),
        network=draw(st.none() | st.builds(Network, st.integers(1, 65535))),
    )
