"""The machine around iterators: the CPU, domains short of memory, the object, the thread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntFlag
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.subsystems.domainset.model.sets import DomainsetRef


class IteratorMisuse(UsageError):  # noqa: N818 - says what the caller does
    """An invalid call: the kernel would fail an assertion, or divide by zero."""


class Wait(IntFlag):
    """Flags of the caller: ``M_*`` for ``policy``, ``VM_ALLOC_*`` for ``page``."""

    NOWAIT = 1
    WAITOK = 2
    WAITFAIL = 4
    """sleep, then return an error; ``page`` only"""


@dataclass(slots=True)
class VmObject:
    """``struct vm_object``, as far as iterators use it.

    Args:
        address: the object's address in the kernel.
        size: ``sizeof(struct vm_object)``.
        domain: its policy and place; None if it has no policy.
        pg_color: start of its first reservation, in pages; None if it has no reservations
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
        cpu_domain: domain of the CPU that runs the call (``PCPU_GET(domain)``).
        wake: value of ``vm_min_domains`` after a thread that sleeps for memory is woken.
        reserv_order: ``VM_LEVEL_0_ORDER``.
        reserv_order_1: ``VM_LEVEL_1_ORDER``; 0 without a second level of reservations.
        slept: number of times that the call slept.
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

        An empty mask also sleeps, until any memory is freed.
        """
        if mask & ~self.vm_min_domains == 0:
            self.slept += 1
            self.vm_min_domains = self.wake


class Branch(NamedTuple):
    """One outcome of a condition of the C text.

    Args:
        function: the function with the condition.
        condition: the condition in words.
        holds: the outcome.
    """

    function: str
    condition: str
    holds: bool

    def __str__(self) -> str:
        return f"{self.function}: {'' if self.holds else 'not '}{self.condition}"


@dataclass(slots=True)
class Branches:
    """Counts how often each branch is taken.

    Args:
        known: all branches, except those that no caller can take.
    """

    known: Iterable[Branch]
    taken: dict[Branch, int] = field(init=False)

    def __post_init__(self) -> None:
        self.taken = dict.fromkeys(self.known, 0)

    def __call__(self, function: str, condition: str, holds: bool) -> bool:
        """Count an outcome, and return it.

        Raises:
            KeyError: the branch is not known.
        """
        self.taken[Branch(function, condition, holds)] += 1
        return holds

    @property
    def missed(self) -> tuple[Branch, ...]:
        """The branches that were not taken."""
        return tuple(branch for branch, times in self.taken.items() if times == 0)


def uncounted(function: str, condition: str, holds: bool) -> bool:
    """Return the outcome; counts nothing."""
    return holds


def outcomes(function: str, *conditions: str) -> list[Branch]:
    """Return the branches of these conditions, two for each."""
    return [Branch(function, each, holds) for each in conditions for holds in (True, False)]
