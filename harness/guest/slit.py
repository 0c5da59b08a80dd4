"""Compares the distances in a guest's ACPI SLIT, as init reads it, with the requested ones.

QEMU has no query for distances. The table distinguishes a wrong machine from a kernel that misreads
it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from harness.guest.topology import Topology

_COUNT: Final = struct.Struct("<Q")
_COUNT_AT: Final = 36  # behind the header (ACPI 6.5, 5.2.17)


def slit_differences(topology: Topology, tables: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the differences between the SLIT and the requested distances, in words.

    None if the report holds no SLIT: a kernel without ``device mem`` shows no tables, and QEMU
    creates none for a single node.
    """
    slit = tables.get("SLIT")
    if slit is None:
        return ()
    asked = bytes(distance for row in topology.distances for distance in row)
    start = _COUNT_AT + _COUNT.size
    if len(slit) < start or _COUNT.unpack_from(slit, _COUNT_AT) != (len(topology.nodes),):
        return ("the machine's SLIT has another number of nodes",)
    if slit[start:] != asked:
        return (f"the machine's SLIT has the distances {list(slit[start:])}, not {list(asked)}",)
    return ()
