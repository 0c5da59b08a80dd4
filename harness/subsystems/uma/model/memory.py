"""The domains' memory below a keg: what its slab allocator finds, and who waits for it.

Sleeping is a value: an operation that would sleep, or try again for ever, ends with ``Blocked``;
unless the shape says that memory comes back (``Shape.patience``).
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
    """What an operation does instead of ending.

    Args:
        sleeps: it waits until one of ``domains`` has memory; otherwise it tries again at once,
            and would for ever, as nothing else happens in the model.
        domains: those waited for, or tried.
    """

    sleeps: bool
    domains: tuple[int, ...]

    def __str__(self) -> str:
        what = "would wait on" if self.sleeps else "would try again for ever in"
        plural = "domain" if len(self.domains) == 1 else "the domains"
        return f"{what} {plural} {', '.join(map(str, self.domains))}"


class DoesNotEnd(Exception):  # noqa: N818 - says what the operation does
    """The operation goes no further.

    Args:
        blocked: what it does instead.
    """

    def __init__(self, blocked: Blocked) -> None:
        super().__init__(str(blocked))
        self.blocked = blocked


class Memory(KernelState):
    """What iterators and a keg see of memory.

    Args:
        shape: what the zone above is made like.

    Attributes:
        vm_min_domains: mask of the domains below their minimum of free pages, beside those that
            have run out.
        refusing: mask of the domains in which the slab allocator finds nothing.
        in_use: how many slabs have their memory in each domain.
        calls: the domains that the slab allocator was asked for by the last operation.
        meanwhile: what another CPU does while the slab allocator is next called; None once done.
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
        """An operation: it has not called and not slept yet."""
        self.calls = []
        self.slept = 0

    def note(self, reason: str, *values: object) -> None:
        """Record the reason of a decision, where somebody wants to know."""
        if self.why is not None:
            self.why.append(reason % values)

    def short(self) -> int:
        """The domains below their minimum of free pages: ``vm_min_domains``, and those that have
        run out.
        """
        most = self.shape.slabs
        if most is None:
            return self.vm_min_domains
        return self.vm_min_domains | mask_of(
            domain for domain, slabs in enumerate(self.in_use) if slabs == most
        )

    def uk_allocf(self, domain: int, aflags: int) -> bool:
        """Whether the slab allocator finds memory in that domain.

        Raises:
            KernelAssertion: it is a stock one and asserts against the flags.
            DoesNotEnd: it is a stock one and sleeps.
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
        """See ``KernelState``: those that have run out are below it, too."""
        most = self.shape.slabs
        return bool(self.vm_min_domains >> domain & 1) or self.in_use[domain] == most

    def vm_wait_domain(self, domain: int) -> None:
        """Return at once unless the domain is below its minimum; raises as ``goes_on``."""
        self.goes_on(Blocked(self.vm_page_count_min_domain(domain), (domain,)))

    def vm_wait_doms(self, mask: int) -> None:
        """Return at once unless all domains are below their minimum; raises as ``goes_on``."""
        self.goes_on(self.wait_for(mask))

    def wait_for(self, mask: int) -> Blocked:
        """What a wait for these domains is, if nothing else happens."""
        return Blocked(self.short() & mask == mask, domains_of(mask))

    def goes_on(self, blocked: Blocked) -> None:
        """Whoever waits so goes on, if memory comes back; see ``Shape.patience``.

        Raises:
            DoesNotEnd: it does not.
        """
        if self.shape.patience is None:
            raise DoesNotEnd(blocked)
        if blocked.sleeps:
            self.slept += 1
            self.vm_min_domains = 0
            self.note("%s; memory comes back everywhere", blocked)
