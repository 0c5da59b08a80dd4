"""Guest specifications for tests: one plain one, and any that there can be."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from harness.guest.spec import GuestSpec
from harness.guest.topology import Node, Topology
from harness.host.accelerator import Accelerator
from harness.image.media import DirectKernel, EfiFolder, Media

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
) -> GuestSpec:
    return GuestSpec(
        name="numa2-kasan",
        topology=topology or Topology.even(2),
        media=media or EfiFolder(Path("/images/one")),
        accelerator=accelerator,
        firmware=FIRMWARE,
        console_socket=console_socket,
        sata=sata,
        serial_sockets=serial_sockets,
    )


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    sizes = st.builds(Node, st.integers(0, 8), st.integers(0, 1 << 16)).filter(
        lambda node: node.cpus or node.memory_mib
    )
    nodes = draw(st.permutations([Node(1, 512), *draw(st.lists(sizes, max_size=7))]))
    if draw(st.booleans()):
        return Topology.of(nodes)
    distance = st.integers(11, 255)
    table = tuple(
        tuple(10 if i == j else draw(distance) for j in range(len(nodes)))
        for i in range(len(nodes))
    )
    return Topology(tuple(nodes), table)


def paths() -> st.SearchStrategy[Path]:
    """Paths with the characters that command lines and XML treat as special."""
    names = st.text(" abcé,=:\"'<&>%\\{}", min_size=1, max_size=8)
    return names.map(lambda name: Path("/run", f"x{name}"))


@st.composite
def guest_specs(draw: st.DrawFn) -> GuestSpec:
    return guest_spec(
        draw(topologies()),
        draw(st.one_of(st.builds(EfiFolder, paths()), st.builds(DirectKernel, paths()))),
        accelerator=draw(st.sampled_from(Accelerator)),
        console_socket=draw(paths()),
        sata=draw(st.booleans()),
        serial_sockets=tuple(draw(st.lists(paths(), max_size=3))),
    )
