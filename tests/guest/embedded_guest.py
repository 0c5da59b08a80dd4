"""What tests of the built-in guest share: a machine as QEMU is told of it, and how a boot ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.console.events import ProbeRecord
from harness.console.probe import MARK, ReportReader
from harness.guest.topology import Node
from harness.image.embedded import CommitSide
from harness.sanitizers import Sanitizers

Kernels = Callable[[CommitSide, Sanitizers], Path]


@dataclass(frozen=True)
class Boot:
    """How a boot ended and what it printed."""

    console: bytes
    ended: bool

    @property
    def lines(self) -> list[str]:
        return self.console.decode("latin-1").replace("\r", "").split("\n")

    @property
    def panic(self) -> str | None:
        found = [line for line in self.lines if line.startswith("panic: ")]
        return found[0].removeprefix("panic: ") if found else None

    @property
    def report(self) -> list[ProbeRecord]:
        """The records of the guest's report; empty unless it is complete."""
        reader = ReportReader()
        events = [
            event for line in self.lines if MARK in line for event in reader.read(line, offset=0)
        ]
        records = [event for event in events if isinstance(event, ProbeRecord)]
        complete = bool(records) and dict(records[-1].fields).get("records") == str(len(records))
        return records if complete else []

    def records(self, name: str) -> list[dict[str, str]]:
        return [dict(record.fields) for record in self.report if record.name == name]


@dataclass(frozen=True)
class Machine:
    """A guest's hardware, as arguments of QEMU."""

    nodes: tuple[Node, ...]
    distances: tuple[tuple[int, int, int], ...] = ()
    board: str = "pc"
    cpu: str = "max"

    def argv(self) -> list[str]:
        cpus = sum(node.cpus for node in self.nodes)
        memory = sum(node.memory_mib for node in self.nodes)
        argv = ["-machine", self.board, "-cpu", self.cpu, "-smp", str(cpus), "-m", f"{memory}M"]
        first = 0
        for number, node in enumerate(self.nodes):
            words = [f"node,nodeid={number}"]
            if node.cpus:
                words.append(f"cpus={first}-{first + node.cpus - 1}")
            if node.memory_mib:
                backend = f"memory-backend-ram,id=m{number},size={node.memory_mib}M"
                argv += ["-object", backend]
                words.append(f"memdev=m{number}")
            argv += ["-numa", ",".join(words)]
            first += node.cpus
        for source, target, value in self.distances:
            argv += ["-numa", f"dist,src={source},dst={target},val={value}"]
        return argv


def even(nodes: int, memory_mib: int = 64) -> Machine:
    return Machine((Node(1, memory_mib),) * nodes)
