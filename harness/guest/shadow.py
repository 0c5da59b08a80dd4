"""How much memory a guest needs under a sanitizer, and where. Pure.

FreeBSD takes the whole shadow out of the boot CPU's memory domain, and the shadow grows with
the number of domains: a guest whose first node is too small dies or stops in a good kernel.
The figures are fitted to measured boots of 13.2 and 15.1; ``images/minimal/README.md`` has
them, and what in FreeBSD they follow from (``kmem_init``, ``pmap_growkernel``,
``pmap_san_enter_alloc_2m``).
"""

from __future__ import annotations

from typing import Final

from harness.guest.topology import MEMORY_MIB_PER_NODE, Node, Topology
from harness.kernel.spec import Sanitizer

_MIB_PER_GIB: Final = 1024

#: MiB: at least, for each domain, for each GiB of the whole guest.
_NEEDS: Final = {Sanitizer.KASAN: (284, 40, 10), Sanitizer.KMSAN: (300, 600, 240)}


def first_domain_needs_mib(domains: int, total_mib: int, sanitizer: Sanitizer) -> int:
    """MiB that the boot CPU's domain must have for a good kernel to boot; 0 if any will do."""
    if sanitizer is Sanitizer.NONE:
        return 0
    least, each_domain, each_gib = _NEEDS[sanitizer]
    return least + each_domain * domains + each_gib * total_mib // _MIB_PER_GIB


def memory_warnings(topology: Topology, sanitizer: Sanitizer) -> tuple[str, ...]:
    """What the user should know before taking such a guest's death for the kernel's fault."""
    domains = topology.guest_domains()
    needed = first_domain_needs_mib(len(domains), topology.memory_mib, sanitizer)
    has = domains[0].memory_mib
    if has >= needed:
        return ()
    return (
        f"node 0 has {has} MiB, and {sanitizer} takes its shadow from there: with "
        f"{len(domains)} domains and {topology.memory_mib} MiB in all, a good kernel was seen "
        f"to need about {needed} MiB in it, and may die or stop without",
    )


def default_memory_mib(sanitizer: Sanitizer, node: int, nodes: int) -> int:
    """Memory of a node in MiB where the user gives none: enough to boot, and no more."""
    if sanitizer is Sanitizer.KMSAN and node == 0:
        return MEMORY_MIB_PER_NODE * (nodes + 1)
    return MEMORY_MIB_PER_NODE


def default_topology(
    nodes: int, sanitizer: Sanitizer, cpus: int | None = None, memory_mib: int | None = None
) -> Topology:
    """The guest of ``--numa``: even nodes, but for a first one that holds KMSAN's shadow.

    Args:
        nodes: their number.
        sanitizer: of the kernel that is to boot.
        cpus: of each node; 1 by default.
        memory_mib: of each node, in place of the defaults.

    Raises:
        UsageError: no such guest can be.
    """
    return Topology.of(
        Node(cpus or 1, memory_mib or default_memory_mib(sanitizer, number, nodes))
        for number in range(nodes)
    )
