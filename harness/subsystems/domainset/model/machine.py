"""What iterators see of the machine: the CPU, memory that is short, the object, the thread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntFlag
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.subsystems.domainset.model.sets import DomainsetRef


class IteratorMisuse(UsageError):  # noqa: N818 - says what the caller does
    """A call that no caller may make: the kernel asserts against it, or divides by zero."""


class Wait(IntFlag):
    """What the caller may wait for: ``M_*`` with ``policy``, ``VM_ALLOC_*`` with ``page``."""

    NOWAIT = 1
    WAITOK = 2
    WAITFAIL = 4
    """sleep, then return an error; ``page`` only"""


@dataclass(slots=True)
class VmObject:
    """``struct vm_object``, as far as iterators look at it.

    Args:
        address: of the object in the kernel.
        size: ``sizeof(struct vm_object)``.
        domain: its policy and place; None: it has no policy.
        pg_color: where its first reservation begins, in pages; None: it has no reservations
            (``vm_object_reserv()``).
    """

    address: int
    size: int
    domain: DomainsetRef | None
    pg_color: int | None = None


@dataclass(slots=True)
class KernelState:
    """The kernel around an iterator.

    Args:
        vm_min_domains: the domains below their minimum of free pages.
        cpu_domain: of the CPU that runs the call (``PCPU_GET(domain)``).
        wake: what ``vm_min_domains`` is once a thread that sleeps for memory is woken.
        reserv_order: ``VM_LEVEL_0_ORDER``.
        reserv_order_1: ``VM_LEVEL_1_ORDER``; 0 without a second level of reservations.
        slept: how often the call slept.
    """

    vm_min_domains: int = 0
    cpu_domain: int = 0
    wake: int = 0
    reserv_order: int = 9
    reserv_order_1: int = 0
    slept: int = 0

    def vm_page_count_min_domain(self, domain: int) -> bool:
        """Whether a domain is below its minimum."""
        return bool(self.vm_min_domains >> domain & 1)

    def vm_wait_doms(self, mask: int) -> None:
        """Sleep once if all of these domains are below their minimum.

        Of no domain at all this holds, too: the thread then sleeps until any memory is freed.
        """
        if mask & ~self.vm_min_domains == 0:
            self.slept += 1
            self.vm_min_domains = self.wake


class Branch(NamedTuple):
    """One outcome of a condition of the C text.

    Args:
        function: which has it.
        condition: in words.
        holds: the outcome.
    """

    function: str
    condition: str
    holds: bool

    def __str__(self) -> str:
        return f"{self.function}: {'' if self.holds else 'not '}{self.condition}"


@dataclass(slots=True)
class Branches:
    """Counts which branches are taken.

    Args:
        known: the branches that there are, but for those that no caller can take.
    """

    known: Iterable[Branch]
    taken: dict[Branch, int] = field(init=False)

    def __post_init__(self) -> None:
        self.taken = dict.fromkeys(self.known, 0)

    def __call__(self, function: str, condition: str, holds: bool) -> bool:
        """Count an outcome, and give it back.

        Raises:
            KeyError: it is not one of the known ones.
        """
        self.taken[Branch(function, condition, holds)] += 1
        return holds

    @property
    def missed(self) -> tuple[Branch, ...]:
        """The branches that were not taken."""
        return tuple(branch for branch, times in self.taken.items() if times == 0)


def uncounted(function: str, condition: str, holds: bool) -> bool:
    """For whoever does not want to know which branches are taken."""
    return holds


def outcomes(function: str, *conditions: str) -> list[Branch]:
    """Both outcomes of each of these conditions."""
    return [Branch(function, each, holds) for each in conditions for holds in (True, False)]
