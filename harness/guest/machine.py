"""The machine that QEMU started, as QEMU describes it over QMP.

A wrapper of QEMU, a changed domain or another backend can start another machine than requested. A
kernel's report counts only for a machine that is known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from harness.arch import GUEST
from harness.errors import InfraError
from harness.guest.devices import forwarded_port
from harness.guest.memory import MIB
from harness.guest.topology import cpus_in_words
from harness.host.accelerator import Accelerator
from harness.image.media import DirectKernel, EfiDirectory

if TYPE_CHECKING:
    from harness.guest.spec import GuestSpec

#: Sends a command with its arguments and returns the answer; raises ``InfraError`` without one.
Ask = Callable[[str, Mapping[str, Any]], Any]

MEMORY_BACKEND: Final = "ram-node"
"""Name of a node's memory backend, followed by the node's number; libvirt uses the same."""

_NODE_SIZE: Final = re.compile(r"^node (\d{1,3}) size: (\d{1,9}) MB\r?$", re.MULTILINE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine as QEMU describes it.

    Args:
        accelerator: the accelerator that executes the guest's instructions.
        cpus: each node's CPU numbers (``query-hotpluggable-cpus``).
        sockets, cores, threads: number of sockets, cores in a socket, threads in a core.
        memory_mib: memory of each node by memory backend (``query-memdev``).
        node_mib: memory of each node in the monitor's ``info numa``; empty if this QEMU's format
            is unknown.
        total_mib: memory of all nodes, plugged memory included (``query-memory-size-summary``).
        board: QEMU's machine type.
        kernel: the file of ``-kernel``; empty for none.
        append: the kernel's command line.
        directories: directories served as volumes.
    """

    accelerator: Accelerator
    cpus: Mapping[int, tuple[int, ...]]
    sockets: int
    cores: int
    threads: int
    memory_mib: Mapping[int, int]
    node_mib: Mapping[int, int]
    total_mib: int
    board: str
    kernel: str
    append: str
    directories: tuple[str, ...]


def read_machine(ask: Ask) -> Machine | None:
    """Query QEMU's machine; None if QEMU does not describe it."""
    try:
        slots = ask("query-hotpluggable-cpus", {})
        return Machine(
            Accelerator.KVM if ask("query-kvm", {})["enabled"] else Accelerator.TCG,
            _cpus(slots),
            *_levels(slots),
            _memory(ask("query-memdev", {})),
            _node_sizes(ask("human-monitor-command", {"command-line": "info numa"})),
            sum(map(int, ask("query-memory-size-summary", {}).values())) // MIB,
            _property(ask, "type"),
            _property(ask, "kernel"),
            _property(ask, "append"),
            tuple(_directories(ask("query-named-block-nodes", {"flat": True}))),
        )
    except (InfraError, AttributeError, LookupError, OverflowError, TypeError, ValueError):
        return None


def read_forwarded_port(ask: Ask) -> int:
    """Query the port of the host that QEMU forwards to the guest.

    Raises:
        InfraError: it forwards none, or QEMU does not answer.
    """
    return forwarded_port(str(ask("human-monitor-command", {"command-line": "info usernet"})))


def _property(ask: Ask, name: str) -> str:
    return str(ask("qom-get", {"path": "/machine", "property": name}) or "")


_LEVELS: Final = ("socket-id", "die-id", "core-id", "thread-id")


def _place(slot: Any) -> tuple[int, ...]:
    return tuple(int(slot["props"].get(level, 0)) for level in _LEVELS)


def _cpus(answer: list[Any]) -> dict[int, tuple[int, ...]]:
    """CPUs are numbered by socket, core and thread, as their hardware ids are."""
    found: dict[int, list[int]] = {}
    for number, slot in enumerate(sorted(answer, key=_place)):
        if "qom-path" in slot:
            found.setdefault(int(slot["props"].get("node-id", 0)), []).append(number)
    return {node: tuple(cpus) for node, cpus in found.items()}


def _levels(answer: list[Any]) -> tuple[int, int, int]:
    """Return the sockets, the cores of the largest socket, the threads of the largest core."""
    sockets, dies, cores, threads = zip(*map(_place, answer), strict=True)
    return len(set(sockets)), (max(dies) + 1) * (max(cores) + 1), max(threads) + 1


def _memory(answer: list[Any]) -> dict[int, int]:
    sizes = {str(backend["id"]): int(backend["size"]) // MIB for backend in answer}
    named = {name.removeprefix(MEMORY_BACKEND): size for name, size in sizes.items()}
    return {int(node): size for node, size in named.items()}


def _node_sizes(answer: Any) -> dict[int, int]:
    return {int(node): int(size) for node, size in _NODE_SIZE.findall(str(answer))}


def _directories(answer: list[Any]) -> Iterator[str]:
    for node in answer:
        if node["drv"] == "vvfat":
            yield str(json.loads(node["file"].removeprefix("json:"))["dir"])


def machine_differences(spec: GuestSpec, machine: Machine | None) -> tuple[str, ...]:
    """Yield the differences between QEMU's machine and the requested one, in words."""
    if machine is None:
        return ("QEMU does not describe the machine that it started",)
    return tuple(_differences(spec, machine))


def _differences(spec: GuestSpec, machine: Machine) -> Iterator[str]:
    if machine.accelerator is not spec.accelerator:
        yield f"QEMU runs the guest by {machine.accelerator}, not {spec.accelerator}"
    if f"-{GUEST.board.machine}-" not in machine.board:
        yield f"QEMU's machine is a {machine.board}, not a {GUEST.board.machine}"
    topology = spec.topology
    if machine.total_mib != topology.memory_mib:
        yield f"QEMU gives the guest {machine.total_mib} MiB, not {topology.memory_mib}"
    levels = (machine.sockets, machine.cores, machine.threads)
    wanted = (topology.sockets, topology.package.cores, topology.package.threads)
    if levels != wanted:
        yield f"QEMU has {_levels_in_words(*levels)}, not {_levels_in_words(*wanted)}"
    asked = dict(enumerate(topology.nodes))
    ids = topology.cpu_ids()
    for node in sorted({*asked, *machine.cpus, *machine.memory_mib, *machine.node_mib}):
        if node not in asked:
            yield f"QEMU has a node {node} that was not requested"
            continue
        cpus, memory = machine.cpus.get(node, ()), machine.memory_mib.get(node, 0)
        if cpus != ids[node]:
            yield f"QEMU's node {node} has {cpus_in_words(cpus)}, not {cpus_in_words(ids[node])}"
        for size in dict.fromkeys((memory, machine.node_mib.get(node, memory))):
            if size != asked[node].memory_mib:
                yield f"QEMU's node {node} has {size} MiB, not {asked[node].memory_mib}"
    yield from _other_media(spec, machine)


def _levels_in_words(sockets: int, cores: int, threads: int) -> str:
    return f"{sockets} sockets x {cores} cores x {threads} threads"


def _other_media(spec: GuestSpec, machine: Machine) -> Iterator[str]:
    media = spec.local_media
    direct = media if isinstance(media, DirectKernel) else None
    kernel, append = (str(direct.kernel), direct.append) if direct else ("", "")
    directories = (str(media.directory),) if isinstance(media, EfiDirectory) else ()
    if machine.kernel != kernel:
        yield f"QEMU starts the kernel {machine.kernel or 'none'}, not {kernel or 'none'}"
    if machine.append != append:
        yield f"QEMU gives the kernel the command line {machine.append!r}, not {append!r}"
    if machine.directories != directories:
        yield f"QEMU serves {list(machine.directories)}, not {list(directories)}"
