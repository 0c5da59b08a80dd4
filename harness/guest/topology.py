"""The NUMA layout of a guest, and the memory domains that FreeBSD makes of it.

The rules are those of FreeBSD's ``sys/dev/acpica/acpi_pxm.c`` (``check_domains``,
``renumber_domains``, ``slit_parse_table``), ``MAXMEMDOM`` of ``harness.arch`` and QEMU's
``hw/core/numa.c`` (``parse_numa_distance``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from harness.arch import GUEST
from harness.errors import UsageError
from harness.guest.numberlist import parse_numbers

MAX_NODES: Final = GUEST.max_domains
MAX_CPUS: Final = GUEST.last_cpu_id + 1

MEMORY_MIB_PER_NODE: Final = 1024
"""Default memory of a node in MiB; see ``harness.guest.sanitizermemory`` for larger needs."""

LOCAL_DISTANCE: Final = 10
REMOTE_DISTANCE: Final = 20
UNREACHABLE: Final = 255
"""ACPI 6.5, 5.2.17: 10 is a node's distance to itself, 255 means "no path"."""


Distances = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One NUMA node of the guest. CPUs or memory may be 0, not both.

    Args:
        cpus: number of CPUs.
        memory_mib: memory in MiB (2**20 bytes).
        numbers: its CPUs' numbers, ascending; None: they follow those of the node before. Either
            all nodes of a guest have them, or none.
    """

    cpus: int
    memory_mib: int
    numbers: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Package:
    """The cores and threads of a socket. CPUs are numbered by socket, core and thread.

    Args:
        cores: cores in a socket.
        threads: threads in a core.
    """

    cores: int = 1
    threads: int = 1

    @property
    def cpus(self) -> int:
        """Number of CPUs in a socket."""
        return self.cores * self.threads

    def last_id(self, sockets: int) -> int:
        """Return the last CPU's hardware id; each level has bits of its own."""
        thread_bits = (self.threads - 1).bit_length()
        core_bits = (self.cores - 1).bit_length()
        core = sockets - 1 << core_bits | self.cores - 1
        return core << thread_bits | self.threads - 1


ONE_CPU: Final = Package()
"""A socket for each CPU."""


@dataclass(frozen=True, slots=True)
class GuestDomain:
    """A memory domain as FreeBSD numbers it: its CPUs (by number in the guest) and MiB."""

    cpus: tuple[int, ...]
    memory_mib: int


@dataclass(frozen=True, slots=True)
class Topology:
    """The nodes of a guest and the distances between them (the SLIT, row = from).

    Raises:
        UsageError: QEMU cannot provide the machine, or FreeBSD refuses it.
    """

    nodes: tuple[Node, ...]
    distances: Distances
    package: Package = ONE_CPU

    def __post_init__(self) -> None:
        _check_nodes(self.nodes)
        _check_numbers(self.nodes)
        _check_package(self.package, self.cpu_ids())
        _check_distances(self.distances, len(self.nodes))

    @classmethod
    def even(
        cls, nodes: int, cpus_per_node: int = 1, memory_mib_per_node: int = MEMORY_MIB_PER_NODE
    ) -> Topology:
        """Return nodes with equal CPUs and memory (MiB), all equally far apart."""
        node = Node(cpus=cpus_per_node, memory_mib=memory_mib_per_node)
        return cls.of((node,) * nodes)

    @classmethod
    def of(cls, nodes: Iterable[Node]) -> Topology:
        """Return a topology of these nodes, all equally far apart (10 and 20)."""
        listed = tuple(nodes)
        return cls(listed, even_distances(len(listed)))

    @property
    def cpus(self) -> int:
        """Number of CPUs of the whole guest."""
        return sum(node.cpus for node in self.nodes)

    @property
    def memory_mib(self) -> int:
        """Memory of the whole guest in MiB."""
        return sum(node.memory_mib for node in self.nodes)

    @property
    def sockets(self) -> int:
        """Number of sockets."""
        return self.cpus // self.package.cpus

    def cpu_ids(self) -> tuple[tuple[int, ...], ...]:
        """Return the CPU numbers of each node; all together have no gaps."""
        ends = accumulate((node.cpus for node in self.nodes), initial=0)
        counted = (tuple(range(first, end)) for first, end in pairwise(ends))
        return tuple(
            ids if node.numbers is None else node.numbers
            for node, ids in zip(self.nodes, counted, strict=True)
        )

    def nodes_without_cpus(self) -> tuple[int, ...]:
        """Numbers of the nodes with memory and no CPU."""
        return tuple(i for i, node in enumerate(self.nodes) if node.cpus == 0)

    def guest_domains(self) -> tuple[GuestDomain, ...]:
        """Return the domains that FreeBSD (with ``options NUMA``) makes of the nodes.

        A node without memory is a domain without memory (``mem dom 1 is empty``). One node
        without CPUs makes the kernel ignore the SRAT: one domain with everything.
        """
        if self.nodes_without_cpus():
            return (GuestDomain(tuple(range(self.cpus)), self.memory_mib),)
        domains = self._domains_of_cpus()
        return tuple(
            GuestDomain(
                tuple(cpu for cpu, home in enumerate(domains) if home == number), node.memory_mib
            )
            for number, node in enumerate(self.nodes)
        )

    def _domains_of_cpus(self) -> list[int]:
        """Return the domain of each CPU, in the order in which FreeBSD numbers CPUs.

        Its tree of packages, domains, cores and threads (``topo_probe``, ``assign_cpu_ids``) has
        the domains on top if none of them shares a package with another, else in each package.
        """
        home = {cpu: node for node, ids in enumerate(self.cpu_ids()) for cpu in ids}
        size = self.package.cpus
        packages = [range(first, first + size) for first in range(0, self.cpus, size)]
        if all(len({home[cpu] for cpu in package}) == 1 for package in packages):
            packages = [range(self.cpus)]
        found: list[int] = []
        for package in packages:
            homes = [home[cpu] for cpu in package]
            found += sorted(homes, key=homes.index)
        return found

    def guest_distances(self) -> Distances:
        """Return ``vm.phys_locality``; -1 where FreeBSD knows no distance.

        It keeps the table only with several domains (``vm_phys_register_domains``).
        """
        if len(self.guest_domains()) == 1:
            return ((-1,),)
        return tuple(
            tuple(-1 if value == UNREACHABLE else value for value in row) for row in self.distances
        )

    def warnings(self) -> tuple[str, ...]:
        """Yield warnings about layouts that FreeBSD refuses."""
        return tuple(
            f"node {node} has memory and no CPUs: FreeBSD refuses it (SRAT: No CPU found for "
            f"memory domain {node}) and ignores the whole SRAT, so that the guest sees one domain"
            for node in self.nodes_without_cpus()[:1]
        )


def cpus_in_words(cpus: Sequence[int]) -> str:
    """Return ascending CPU numbers as text: ``CPU 1``, ``CPUs 0-3,5``, ``no CPUs``."""
    if not cpus:
        return "no CPUs"
    listed = ",".join(cpu_ranges(cpus))
    return f"CPU {listed}" if len(cpus) == 1 else f"CPUs {listed}"


def cpu_ranges(cpus: Sequence[int]) -> tuple[str, ...]:
    """Return ascending CPU numbers as ranges: ``0-3`` and ``5``."""
    ranges: list[list[int]] = []
    for cpu in cpus:
        if ranges and cpu == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], cpu]
        else:
            ranges.append([cpu])
    return tuple("-".join(map(str, each)) for each in ranges)


def even_distances(nodes: int) -> Distances:
    """Return distances of 10 from each node to itself and 20 to every other."""
    return tuple(
        tuple(LOCAL_DISTANCE if i == j else REMOTE_DISTANCE for j in range(nodes))
        for i in range(nodes)
    )


def parse_node_counts(text: str) -> tuple[int, ...]:
    """Parse numbers of nodes: ``4``, ``1,2,4``, ``1-8``, ``1,4-6``.

    Returns them in the order given, without repetitions.

    Raises:
        UsageError: a wrong form, no number, or more nodes than FreeBSD supports.
    """
    return parse_numbers(
        text, range(1, MAX_NODES + 1), "number of nodes",
        few="a guest has at least one node",
        many=f"FreeBSD/{GUEST.name} supports at most {MAX_NODES} memory domains",
    )  # fmt: skip


def _check_nodes(nodes: tuple[Node, ...]) -> None:
    if not nodes:
        raise UsageError("a topology without nodes", remedy="give at least one node")
    if len(nodes) > MAX_NODES:
        raise UsageError(
            f"{len(nodes)} nodes: FreeBSD/{GUEST.name} supports at most {MAX_NODES} memory domains "
            "(MAXMEMDOM)",
            remedy=f"give from 1 to {MAX_NODES} nodes",
        )
    for number, node in enumerate(nodes):
        if node.cpus < 0 or node.memory_mib < 0:
            raise UsageError(
                f"node {number}: {node.cpus} CPUs and {node.memory_mib} MiB of memory",
                remedy="give numbers from 0",
            )
        if node.cpus == 0 and node.memory_mib == 0:
            raise UsageError(
                f"node {number} has neither CPUs nor memory, so no ACPI table would contain it",
                remedy="give it CPUs or memory, or omit it",
            )
    cpus = sum(node.cpus for node in nodes)
    if not 1 <= cpus <= MAX_CPUS:
        raise UsageError(
            f"{cpus} CPUs in all nodes together", remedy=f"give a guest 1 to {MAX_CPUS} CPUs"
        )
    if not any(node.memory_mib for node in nodes):
        raise UsageError("no node has memory", remedy="give at least one node memory")


def _check_numbers(nodes: tuple[Node, ...]) -> None:
    if all(node.numbers is None for node in nodes):
        return
    where: dict[int, int] = {}
    for number, node in enumerate(nodes):
        if node.numbers is None:
            if node.cpus == 0:
                continue
            raise UsageError(
                f"node {number} has {node.cpus} CPUs without numbers, and others have numbers",
                remedy="number the CPUs of all nodes, or of none",
            )
        if len(node.numbers) != node.cpus or list(node.numbers) != sorted(node.numbers):
            raise UsageError(
                f"node {number}: {list(node.numbers)} are not {node.cpus} ascending numbers",
                remedy="give each CPU's number once, in ascending order",
            )
        for cpu in node.numbers:
            if cpu in where:
                raise UsageError(
                    f"CPU {cpu} is in node {where[cpu]} and in node {number}",
                    remedy="give each CPU one node",
                )
            where[cpu] = number
    gaps = sorted(set(range(len(where))) - where.keys())
    if gaps:
        raise UsageError(
            f"{len(where)} CPUs have numbers up to {max(where)}, and none is CPU {gaps[0]}",
            remedy=f"number {len(where)} CPUs from 0 to {len(where) - 1}: FreeBSD leaves no gaps",
        )


def _check_package(package: Package, cpu_ids: tuple[tuple[int, ...], ...]) -> None:
    cpus = sum(map(len, cpu_ids))
    if package.cores < 1 or package.threads < 1:
        raise UsageError(
            f"{package.cores} cores and {package.threads} threads",
            remedy="give at least 1 of each",
        )
    if cpus % package.cpus:
        raise UsageError(
            f"{cpus} CPUs do not fill sockets of {package.cores} cores x {package.threads} threads",
            remedy=f"give a multiple of {package.cpus} CPUs, or fewer cores or threads",
        )
    home = {cpu: node for node, ids in enumerate(cpu_ids) for cpu in ids}
    for cpu in range(cpus):
        first = cpu - cpu % package.threads
        if home[cpu] != home[first]:
            raise UsageError(
                f"CPUs {first} and {cpu} are threads of one core in two nodes, {home[first]} "
                f"and {home[cpu]}",
                remedy="put all threads of a core into one node: a core has one memory controller",
            )
    last = package.last_id(cpus // package.cpus)
    if last > GUEST.last_cpu_id:
        raise UsageError(
            f"{cpus} CPUs with {package.cores} cores x {package.threads} threads in a socket get "
            f"{GUEST.cpu_id}s up to {last}",
            remedy=f"give fewer: CPUs are started up to {GUEST.cpu_id} {GUEST.last_cpu_id}",
        )


def _check_distances(distances: Distances, nodes: int) -> None:
    if len(distances) != nodes or any(len(row) != nodes for row in distances):
        raise UsageError(
            f"the distances are not a table of {nodes} rows with {nodes} numbers each",
            remedy="give one row for each node, with the distance to every node",
        )
    for i, row in enumerate(distances):
        for j, value in enumerate(row):
            if i == j and value != LOCAL_DISTANCE:
                raise UsageError(
                    f"distance {value} from node {i} to itself",
                    remedy=f"ACPI and QEMU accept only {LOCAL_DISTANCE} there",
                )
            if i != j and not LOCAL_DISTANCE < value <= UNREACHABLE:
                raise UsageError(
                    f"distance {value} from node {i} to node {j}",
                    remedy=f"give {LOCAL_DISTANCE + 1} to {UNREACHABLE - 1}, "
                    f"or {UNREACHABLE} for unreachable",
                )
