"""A job that is to be done by a host of a group."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.group.leases import Report
    from harness.group.placement import Job


@dataclass(slots=True)
class Wanted:
    """A job with its order, and what is known of it.

    Args:
        job: the job; ``avoid`` grows with each host that fails it.
        order: what its host is told.
        future: gets its report; None for the way of a kernel to another host.
        attempt: the next one.
        failures: reports of hosts that failed it.
        lacked: how often a host lacked its kernel.
        last: the report of a host that lacked its source.
        rebuilt: how often it was built again, because no host had it any more.
        kernel: the kernel that it moves; empty: none.
        unsure: whether the last attempt may be leased, although the server was lost meanwhile.
    """

    job: Job
    order: Mapping[str, Any]
    future: Future[Report] | None
    attempt: int = 0
    failures: list[Report] = field(default_factory=list)
    lacked: int = 0
    last: Report | None = None
    rebuilt: int = 0
    kernel: str = ""
    unsure: bool = False
