"""The hosts of a group, as a night finds them at its beginning."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.errors import InfraError, UsageError
from harness.group.leases import OPEN, GroupLeases
from harness.group.placement import HostOffer, Job, refusal
from harness.group.silence import USUAL_SILENCE, is_gone
from harness.group.version import harness_version
from harness.guest.memory import required_memory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.history.database import Database
    from harness.nightly.cells import NightCell
    from harness.runs.nights.guests import NightGuests
    from harness.runs.view import View

USUAL_SECONDS: Final = 20.0
"""Seconds of a cell of which the history knows nothing."""


@dataclass(frozen=True, slots=True)
class NightHosts:
    """The hosts of a group, as a night finds them at its beginning.

    Args:
        offers: what they offer.
        silence: seconds after which a silent host is gone.
    """

    offers: tuple[HostOffer, ...]
    silence: float = USUAL_SILENCE

    @classmethod
    def found(cls, database: Database, silence: float, view: View) -> NightHosts:
        """Return the hosts that are there, with the same version of the harness.

        Raises:
            UsageError: the history is not on a server, or has no queues.
            InfraError: no host is there.
        """
        leases = GroupLeases(database, "", 0)
        if not leases.can_lease():
            raise UsageError(
                f"the history {database.place} is not that of a group of machines",
                remedy="make one: harness group init URL; and name it in the plan: history = URL",
            )
        offers = []
        for host in leases.hosts():
            if host.leaving or is_gone(host.silent, silence):
                continue
            if host.version != harness_version():
                view.warn(
                    f"{host.offer.name} is left out: it has another version of the harness "
                    f"({host.version}) than this host ({harness_version()})"
                )
                continue
            offers.append(host.offer)
        if not offers:
            raise InfraError(
                f"no worker of {database.place} with this version of the harness is running",
                remedy="start one on each host: harness worker URL",
            )
        return cls(tuple(offers), silence)

    @property
    def cells(self) -> int:
        """How many cells can run at once."""
        return max(1, int(sum(offer.cores for offer in self.offers) / self.core + 1e-9))

    @property
    def core(self) -> float:
        """What a cell takes: a core, or what the least host has."""
        return min(1.0, *(offer.cores for offer in self.offers))

    def refuse_impossible(self, cells: Iterable[NightCell], guests: NightGuests) -> None:
        """Check, before anything runs, that some host can hold each cell.

        Raises:
            UsageError: none can.
        """
        for cell in cells:
            why = refusal(self.job(cell, guests, "", USUAL_SECONDS), self.offers)
            if why:
                raise UsageError(
                    f"{cell.kind} {cell.slot.cell} of {cell.slot.branch}: {why}",
                    remedy="start a worker on a host that can, or change the plan",
                )

    def job(self, cell: NightCell, guests: NightGuests, id_: str, seconds: float) -> Job:
        """Return the job of a cell."""
        of_request, boot = guests.plan(cell)
        return Job(
            id_, seconds, self.core, required_memory(boot.topology),
            accelerator="kvm" if cell.accelerator == "kvm" else "tcg",
            commands=of_request.machine is not None,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class SeenHost:
    """A host of a group at a moment.

    Args:
        name: its name.
        cores: cores that it offers.
        memory: bytes that it offers.
        silent: seconds since its worker reported.
        running: cells and builds that are leased to it.
        state: ``works``, ``left`` or ``other version``; whether it is silent is not in it.
    """

    name: str
    cores: float
    memory: int
    silent: float
    running: int
    state: str

    @property
    def line(self) -> str:
        """The host in words."""
        return (
            f"host {self.name}: {self.state}, {self.running} running, {self.cores:g} cores, "
            f"{self.memory / (1 << 30):.1f} GiB, reported {self.silent:.0f} s ago"
        )


def seen_hosts(database: Database) -> list[SeenHost]:
    """Return the hosts of the history's group; none if it has no group.

    Raises:
        InfraError: the history cannot be read.
    """
    leases = GroupLeases(database, "", 0)
    if not leases.can_lease():
        return []
    running = Counter(lease.host for lease in leases.open() if lease.state in OPEN)
    found = []
    for host in leases.hosts():
        state = "left" if host.leaving else "works"
        if host.version != harness_version():
            state = "other version"
        offer = host.offer
        found.append(
            SeenHost(offer.name, offer.cores, offer.memory, host.silent, running[offer.name], state)
        )
    return found
