"""When a host of a group is gone, and which of its leases are lost; pure.

A worker that was killed may have cells that go on, and the other way round: a host is gone when
nothing on it reports. What it had not begun is lost when its worker is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from harness.group.leases import KnownHost, Lease

USUAL_SILENCE: Final = 120.0
"""Seconds after which a silent host is gone."""

#: A cell that is silent for so many times as long is lost, although its host reports.
_CELL: Final = 5.0


def is_gone(silent: float, limit: float) -> bool:
    """Return whether silence of so many seconds is too long."""
    return silent > limit


def gone_leases(
    hosts: Iterable[KnownHost], leases: Sequence[Lease], limit: float
) -> list[Lease]:  # fmt: skip
    """Return the leases of hosts that are gone.

    Args:
        hosts: the hosts that are known.
        leases: the leases that are queued or run.
        limit: seconds after which a silent host is gone.
    """
    workers = {host.offer.name: host.silent for host in hosts}
    heard: dict[str, float] = defaultdict(lambda: float("inf"), workers)
    for lease in leases:
        if lease.silent is not None:
            heard[lease.host] = min(heard[lease.host], lease.silent)

    def is_lost(lease: Lease) -> bool:
        if lease.state == "queued":
            return is_gone(workers.get(lease.host, float("inf")), limit)
        if is_gone(heard[lease.host], limit):
            return True
        return lease.silent is not None and is_gone(lease.silent, _CELL * limit)

    return [lease for lease in leases if is_lost(lease)]
