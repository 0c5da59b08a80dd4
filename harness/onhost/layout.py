"""The machine of a host program: domains, CPUs, and domains without memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from harness.console.report import DomainMemory, GuestReport

if TYPE_CHECKING:
    from harness.check.subject import Machine
    from harness.guest.topology import GuestDomain

_PAGES = 32768
_PAGE_SIZE = 4096


@dataclass(frozen=True, slots=True)
class HostLayout:
    """The machine of a host program.

    Args:
        domains: number of domains.
        cpus: the domain of each CPU.
        empty: mask of the domains without memory.
    """

    domains: int
    cpus: tuple[int, ...]
    empty: int = 0

    @property
    def words(self) -> list[str]:
        """The program's arguments."""
        return [",".join(map(str, self.cpus)), str(self.domains), str(self.empty)]

    def report(self) -> GuestReport:
        """Return the report that a guest with these domains would send."""
        memory = {
            domain: DomainMemory(0 if self.empty >> domain & 1 else _PAGES, _PAGE_SIZE)
            for domain in range(self.domains)
        }
        return GuestReport(
            guest="host program", release="", osreldate=0, ident="", domains=self.domains,
            cpus=dict(enumerate(self.cpus)), memory=memory, distances={}, tables={},
        )  # fmt: skip


def layout_of(domains: Sequence[GuestDomain]) -> HostLayout:
    """Return the layout for the domains of a guest."""
    homes = {cpu: number for number, domain in enumerate(domains) for cpu in domain.cpus}
    empty = sum(1 << number for number, domain in enumerate(domains) if domain.memory_mib == 0)
    return HostLayout(len(domains), tuple(homes[cpu] for cpu in sorted(homes)), empty)


#: Machines that differ in what code asks of them: one domain, more than two, and an empty one.
_OTHERS: Final = (
    HostLayout(3, (0, 1, 2)), HostLayout(4, (0, 1, 2, 3), 0b0010), HostLayout(1, (0, 0)),
)  # fmt: skip


def layout_for(machine: Machine, layout: HostLayout) -> HostLayout:
    """Return the layout on which a trace for a machine runs: its own, unless the given one has as
    many domains."""
    empty = sum(1 << domain for domain in machine.empty)
    if (machine.domains, bool(empty)) == (layout.domains, bool(layout.empty)):
        return layout
    return HostLayout(machine.domains, machine.cpus, empty)


def others(layout: HostLayout) -> tuple[HostLayout, ...]:
    """Return machines with another number of domains, or of domains that have memory."""
    return tuple(
        other for other in _OTHERS
        if (other.domains, bool(other.empty)) != (layout.domains, bool(layout.empty))
    )  # fmt: skip
