"""How much memory a guest needs under sanitizers, and in which node. Pure.

FreeBSD allocates the whole shadow from the boot CPU's memory domain, and the shadow grows with the
number of domains: if the first node is too small, a good kernel panics or hangs.
``harness.sanitizers.Shadow`` has the figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.guest.topology import MEMORY_MIB_PER_NODE, Node, Topology

if TYPE_CHECKING:
    from harness.sanitizers import Sanitizers

_MIB_PER_GIB: Final = 1024


def first_domain_needs_mib(domains: int, total_mib: int, sanitizers: Sanitizers) -> int:
    """Return the MiB that a good kernel needs in the boot CPU's domain; 0 if any will do."""
    shadows = [row.shadow for row in sanitizers if row.shadow is not None]
    return sum(
        shadow.least_mib
        + shadow.each_domain_mib * domains
        + shadow.each_gib_mib * total_mib // _MIB_PER_GIB
        for shadow in shadows
    )


def memory_warnings(topology: Topology, sanitizers: Sanitizers) -> tuple[str, ...]:
    """Yield a warning if a good kernel may fail because the first node is too small."""
    domains = topology.guest_domains()
    needed = first_domain_needs_mib(len(domains), topology.memory_mib, sanitizers)
    has = domains[0].memory_mib
    if has >= needed:
        return ()
    return (
        f"node 0 has {has} MiB, and {sanitizers} allocates its shadow there: with "
        f"{len(domains)} domains and {topology.memory_mib} MiB in all, a good kernel needs "
        f"about {needed} MiB in it, and may panic or hang with less",
    )


def default_memory_mib(sanitizers: Sanitizers, node: int, nodes: int) -> int:
    """Return a node's default memory in MiB: the least with which the guest boots."""
    if node == 0 and any(row.shadow and row.shadow.in_default for row in sanitizers):
        return MEMORY_MIB_PER_NODE * (nodes + 1)
    return MEMORY_MIB_PER_NODE


def default_topology(
    nodes: int, sanitizers: Sanitizers, cpus: int | None = None, memory_mib: int | None = None
) -> Topology:
    """Return the layout of ``--numa``: equal nodes, except a larger first one for a shadow.

    Args:
        nodes: number of nodes.
        sanitizers: the kernel's.
        cpus: CPUs of each node; default: 1.
        memory_mib: memory of each node; None: the defaults.

    Raises:
        UsageError: the layout is impossible.
    """
    return Topology.of(
        Node(cpus or 1, memory_mib or default_memory_mib(sanitizers, number, nodes))
        for number in range(nodes)
    )
