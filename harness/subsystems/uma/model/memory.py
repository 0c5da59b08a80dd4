"""The domains' memory below a keg: its slab allocator, and waits for memory.

An operation that would sleep, or retry for ever, ends with the value ``Blocked``, unless the shape
says that memory is freed meanwhile (``Shape.patience``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from harness.subsystems.domainset.model.machine import KernelState
from harness.subsystems.domainset.model.sets import domains_of, mask_of
from harness.subsystems.uma.model.flags import M_NOWAIT, M_USE_RESERVE, M_WAITOK, KernelAssertion

if TYPE_CHECKING:
    from harness.subsystems.uma.model.shape import Shape


class Blocked(NamedTuple):
    """How an operation continues for ever.

    Args:
        sleeps: whether it waits until one of ``domains`` has memory; else it retries at once, for
            ever, because nothing else runs in the model.
        domains: the domains that it waits for, or retries.
    """

    sleeps: bool
    domains: tuple[int, ...]

    def __str__(self) -> str:
        what = "would wait on" if self.sleeps else "would try again for ever in"
        plural = "domain" if len(self.domains) == 1 else "the domains"
        return f"{what} {plural} {', '.join(map(str, self.domains))}"


class DoesNotEnd(Exception):  # noqa: N818 - says what the operation does
    """An operation does not end.

    Args:
        blocked: how it continues.
    """

    def __init__(self, blocked: Blocked) -> None:
        super().__init__(str(blocked))
        self.blocked = blocked


class Memory(KernelState):
    """The memory of iterators and a keg.

    Args:
        shape: the zone's parameters.

    Attributes:
        vm_min_domains: mask of the domains below their minimum of free pages, without exhausted
            ones.
        refusing: mask of the domains in which the slab allocator fails.
        in_use: number of slabs with memory in each domain.
        calls: the domains of the slab allocator's calls by the last operation.
        meanwhile: an action of another CPU during the next call of the slab allocator, or None.
        why: if a list, the reason of each decision is appended to it.
    """

    __slots__ = ("calls", "in_use", "meanwhile", "refusing", "shape", "why")

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.refusing = shape.empty
        self.in_use = [0] * shape.domains
        self.calls: list[int] = []
        self.meanwhile: Callable[[], None] | None = None
        self.why: list[str] | None = None

    def begin(self) -> None:
        """Begin an operation."""
        self.calls = []
        self.slept = 0

    def note(self, reason: str, *values: object) -> None:
        """Record the reason of a decision, if reasons are recorded."""
        if self.why is not None:
            self.why.append(reason % values)

    def short(self) -> int:
        """Return the mask of all domains below their minimum, with exhausted ones."""
        most = self.shape.slabs
        if most is None:
            return self.vm_min_domains
        return self.vm_min_domains | mask_of(
            domain for domain, slabs in enumerate(self.in_use) if slabs == most
        )

    def uk_allocf(self, domain: int, aflags: int) -> bool:
        """Return whether the slab allocator finds memory in a domain.

        Raises:
            KernelAssertion: a stock allocator asserts on the flags.
            DoesNotEnd: a stock allocator sleeps.
        """
        shape = self.shape
        if shape.stock and aflags & M_USE_RESERVE and not aflags & M_NOWAIT:
            raise KernelAssertion("malloc2vm_flags", "M_USE_RESERVE requires M_NOWAIT")
        self.calls.append(domain)
        if self.meanwhile is not None:
            act, self.meanwhile = self.meanwhile, None
            act()
        patient = shape.patience is None or len(self.calls) < shape.patience
        if patient and (self.refusing >> domain & 1 or self.in_use[domain] == shape.slabs):
            self.note("the slab allocator finds nothing in domain %d", domain)
            if shape.stock and aflags & M_WAITOK:
                raise DoesNotEnd(Blocked(True, (domain,)))
            return False
        self.in_use[domain] += 1
        return True

    def vm_page_count_min_domain(self, domain: int) -> bool:
        """See ``KernelState``: exhausted domains are below their minimum, too."""
        most = self.shape.slabs
        return bool(self.vm_min_domains >> domain & 1) or self.in_use[domain] == most

    def vm_wait_domain(self, domain: int) -> None:
        """Return at once unless the domain is below its minimum; raises as ``goes_on``."""
        self.goes_on(Blocked(self.vm_page_count_min_domain(domain), (domain,)))

    def vm_wait_doms(self, mask: int) -> None:
        """Return at once unless all domains are below their minimum; raises as ``goes_on``."""
        self.goes_on(self.wait_for(mask))

    def wait_for(self, mask: int) -> Blocked:
        """Return how a wait for these domains continues."""
        return Blocked(self.short() & mask == mask, domains_of(mask))

    def goes_on(self, blocked: Blocked) -> None:
        """Wake the waiting thread if memory is freed; see ``Shape.patience``.

        Raises:
            DoesNotEnd: no memory is freed.
        """
        if self.shape.patience is None:
            raise DoesNotEnd(blocked)
        if blocked.sleeps:
            self.slept += 1
            self.vm_min_domains = 0
            self.note("%s; memory comes back everywhere", blocked)
