"""Checks that the host has enough memory for a guest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.errors import InfraError, UsageError

if TYPE_CHECKING:
    from harness.guest.spec import GuestSpec
    from harness.guest.topology import Topology

MIB: Final = 1 << 20

OVERHEAD_BYTES: Final = 256 * MIB
"""Memory that QEMU itself takes, for its data and translated code."""


def check_bootable(topology: Topology, least_mib: int, way: str) -> None:
    """Refuse a guest with too little memory to print a line.

    Args:
        topology: the guest's.
        least_mib: least memory of the whole guest, in MiB, with which a boot was seen.
        way: the boot method, in words.

    Raises:
        UsageError: it has less.
    """
    if topology.memory_mib < least_mib:
        raise UsageError(
            f"the guest has {topology.memory_mib} MiB of memory; {way} requires at least "
            f"{least_mib} MiB",
            remedy="give its nodes more with --memory or in the vm file",
        )


def required_memory(topology: Topology) -> int:
    """Return the bytes of host memory that a guest can use, QEMU included."""
    return topology.memory_mib * MIB + OVERHEAD_BYTES


def check_memory(spec: GuestSpec, available: int) -> None:
    """Refuse a guest that does not fit into the host's memory.

    Raises:
        InfraError: it needs more than ``available`` bytes.
    """
    required = required_memory(spec.topology)
    if required > available:
        raise InfraError(
            f"guest {spec.name} needs more memory than the host has: "
            f"{required // MIB} MiB ({spec.topology.memory_mib} MiB in "
            f"{len(spec.topology.nodes)} nodes and {OVERHEAD_BYTES // MIB} MiB for QEMU), "
            f"{available // MIB} MiB are available",
            remedy="give the nodes less memory (--memory, or the file of --vm), use fewer nodes "
            "(--numa), or end other guests",
        )
