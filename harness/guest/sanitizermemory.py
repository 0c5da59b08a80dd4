"""How much memory a guest needs under sanitizers, and where. Pure.

FreeBSD takes the whole shadow out of the boot CPU's memory domain, and the shadow grows with
the number of domains: a guest whose first node is too small dies or stops in a good kernel.
``harness.sanitizers.Shadow`` has the figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.guest.topology import MEMORY_MIB_PER_NODE, Node, Topology

if TYPE_CHECKING:
    from harness.sanitizers import Sanitizers

_MIB_PER_GIB: Final = 1024


def first_domain_needs_mib(domains: int, total_mib: int, sanitizers: Sanitizers) -> int:
    """MiB that the boot CPU's domain must have for a good kernel to boot; 0 if any will do."""
    shadows = [row.shadow for row in sanitizers if row.shadow is not None]
    return sum(
        shadow.least_mib
        + shadow.each_domain_mib * domains
        + shadow.each_gib_mib * total_mib // _MIB_PER_GIB
        for shadow in shadows
    )


def memory_warnings(topology: Topology, sanitizers: Sanitizers) -> tuple[str, ...]:
    """What the user should know before taking such a guest's death for the kernel's fault."""
    domains = topology.guest_domains()
    needed = first_domain_needs_mib(len(domains), topology.memory_mib, sanitizers)
    has = domains[0].memory_mib
    if has >= needed:
        return ()
    return (
        f"node 0 has {has} MiB, and {sanitizers} takes its shadow from there: with "
        f"{len(domains)} domains and {topology.memory_mib} MiB in all, a good kernel was seen "
        f"to need about {needed} MiB in it, and may die or stop without",
    )


def default_memory_mib(sanitizers: Sanitizers, node: int, nodes: int) -> int:
    """Memory of a node in MiB where the user gives none: enough to boot, and no more."""
    if node == 0 and any(row.shadow and row.shadow.in_default for row in sanitizers):
        return MEMORY_MIB_PER_NODE * (nodes + 1)
    return MEMORY_MIB_PER_NODE


def default_topology(
    nodes: int, sanitizers: Sanitizers, cpus: int | None = None, memory_mib: int | None = None
) -> Topology:
    """The guest of ``--numa``: even nodes, but for a first one that holds a shadow.

    Args:
        nodes: their number.
        sanitizers: of the kernel that is to boot.
        cpus: of each node; 1 by default.
        memory_mib: of each node, in place of the defaults.

    Raises:
        UsageError: no such guest can be.
    """
    return Topology.of(
        Node(cpus or 1, memory_mib or default_memory_mib(sanitizers, number, nodes))
        for number in range(nodes)
    )
