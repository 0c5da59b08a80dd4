"""Whether the host has the memory that a guest may come to use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psutil

from harness.errors import InfraError, UsageError

if TYPE_CHECKING:
    from harness.guest.spec import GuestSpec
    from harness.guest.topology import Topology

MIB: Final = 1 << 20

OVERHEAD_BYTES: Final = 256 * MIB
"""What QEMU itself takes beside the guest's memory: its own data and translated code."""


def check_bootable(topology: Topology, least_mib: int, way: str) -> None:
    """Refuse a guest in which nothing gets as far as printing a line.

    Args:
        topology: of the guest.
        least_mib: MiB of the whole guest that were seen to be enough.
        way: by which it is started, in words.

    Raises:
        UsageError: it has less.
    """
    if topology.memory_mib < least_mib:
        raise UsageError(
            f"the guest has {topology.memory_mib} MiB of memory, and {way} takes at least "
            f"{least_mib} MiB",
            remedy="give its nodes more with --memory, or in the file of --vm",
        )


def required_memory(topology: Topology) -> int:
    """Bytes of host memory to set aside for such a guest."""
    return topology.memory_mib * MIB + OVERHEAD_BYTES


def available_memory() -> int:
    """Bytes of memory that this host can give to new processes without swapping."""
    return int(psutil.virtual_memory().available)


def check_memory(spec: GuestSpec, available: int) -> None:
    """Refuse a guest that does not fit.

    Raises:
        InfraError: it needs more than ``available`` bytes.
    """
    required = required_memory(spec.topology)
    if required > available:
        raise InfraError(
            f"guest {spec.name} needs memory the host does not have: "
            f"{required // MIB} MiB ({spec.topology.memory_mib} MiB in "
            f"{len(spec.topology.nodes)} nodes and {OVERHEAD_BYTES // MIB} MiB for QEMU), "
            f"{available // MIB} MiB are available",
            remedy="give the nodes less memory (--memory, or the file of --vm), use fewer nodes "
            "(--numa), or end other guests",
        )
