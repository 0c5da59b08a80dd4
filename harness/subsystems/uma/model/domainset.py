"""Domain policies and their iterators: FreeBSD's ``sys/vm/vm_domainset.c``, by its names.

Sets of domains are bit masks. What an iterator returns through ``*domain`` in C is its
attribute ``domain``, which, as there, is left at the last domain looked at when none is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.subsystems.domainset.model.sets import Policy, mask_of

if TYPE_CHECKING:
    from harness.subsystems.uma.model.variants import Variant


@dataclass(frozen=True, slots=True)
class Domainset:
    """``struct domainset``.

    Args:
        policy: which domain comes first.
        order: the domains in the set, in ascending order (``ds_order``); at least one.
        prefer: the preferred domain; -1 with any other policy.
    """

    policy: Policy
    order: tuple[int, ...]
    prefer: int = -1

    @property
    def mask(self) -> int:
        """``ds_mask``."""
        return mask_of(self.order)

    def without(self, empty: int) -> Domainset | None:
        """The set without memoryless domains (``domainset_empty_vm``); None if none is left."""
        order = tuple(domain for domain in self.order if not empty >> domain & 1)
        if not order:
            return None
        if self.policy is Policy.PREFER and empty >> self.prefer & 1:
            return Domainset(Policy.ROUNDROBIN, order)
        return Domainset(self.policy, order, self.prefer)


class DomainsetRef:
    """``struct domainset_ref``: a policy and the place that its iterators have come to."""

    __slots__ = ("dr_iter", "dr_policy")

    def __init__(self, policy: Domainset, place: int = 0) -> None:
        self.dr_policy = policy
        self.dr_iter = place


class DomainsetIter:
    """``struct vm_domainset_iter``; what both forms of it share.

    Args:
        dr: the policy and the iterator's place, which moves on.
        low: the domains below their minimum of free pages (``vm_page_count_min_domain``).
        advances_first: see ``Variant``.
        cpu_domain: of the CPU that runs (``PCPU_GET(domain)``).
        offset: where an interleaving policy begins (``di_offset``).
    """

    __slots__ = (
        "_advances_first", "_count", "_cpu", "_dr", "_low", "_offset", "_order", "_set", "domain",
    )  # fmt: skip

    def __init__(
        self, dr: DomainsetRef, low: int, *, advances_first: bool, cpu_domain: int, offset: int
    ) -> None:
        self._dr = dr
        self._set = dr.dr_policy
        self._order = self._set.order
        self._count = len(self._order)
        self._low = low
        self._advances_first = advances_first
        self._cpu = cpu_domain
        self._offset = offset
        self.domain = -1

    def policy(self) -> bool:
        """``vm_domainset_iter_policy`` up to where it would sleep: whether a domain is left."""
        raise NotImplementedError

    def _rr(self) -> None:
        """``vm_domainset_iter_rr``."""
        dr = self._dr
        if self._advances_first:
            dr.dr_iter += 1
            self.domain = self._order[dr.dr_iter % self._count]
        else:
            self.domain = self._order[dr.dr_iter % self._count]
            dr.dr_iter += 1


class CountedIter(DomainsetIter):
    """The form of 13.x: counts its steps; a first pass skips domains short of memory."""

    __slots__ = ("_minskip", "_n")

    def __init__(
        self, dr: DomainsetRef, low: int, *, advances_first: bool, cpu_domain: int, offset: int
    ) -> None:
        super().__init__(
            dr, low, advances_first=advances_first, cpu_domain=cpu_domain, offset=offset
        )
        self._minskip = True
        self._n = 0
        self._first()
        if low >> self.domain & 1:
            self.policy()

    def policy(self) -> bool:
        """See ``DomainsetIter.policy``."""
        self._n -= 1
        while self._n != 0:
            self._next()
            if not self._minskip or not self._low >> self.domain & 1:
                return True
            self._n -= 1
        if self._minskip:
            self._minskip = False
            self._first()
            return True
        return False

    def _first(self) -> None:
        """``vm_domainset_iter_first``."""
        policy = self._set.policy
        self._n = self._count
        if policy is Policy.FIRSTTOUCH and self._cpu in self._order:
            self.domain = self._cpu
            self._n += 1
        elif policy is Policy.PREFER:
            self.domain = self._set.prefer
        elif policy is Policy.INTERLEAVE:
            self._dr.dr_iter = self._offset % self._count
            self.domain = self._order[self._dr.dr_iter]
        else:
            self._rr()

    def _next(self) -> None:
        """``vm_domainset_iter_next``."""
        if self._set.policy is not Policy.PREFER:
            self._rr()
            return
        # vm_domainset_iter_prefer, which advances by itself.
        while True:
            self._dr.dr_iter += 1
            self.domain = self._order[self._dr.dr_iter % self._count]
            if self.domain != self._set.prefer:
                return


class MaskedIter(DomainsetIter):
    """The form of 15.x: masks of domains to visit; those short of memory come in phase 2."""

    __slots__ = ("_low_seen", "_minskip", "_remain")

    def __init__(
        self, dr: DomainsetRef, low: int, *, advances_first: bool, cpu_domain: int, offset: int
    ) -> None:
        super().__init__(
            dr, low, advances_first=advances_first, cpu_domain=cpu_domain, offset=offset
        )
        self._remain = self._set.mask
        self._low_seen = 0
        self._minskip = True
        self._phase_first()

    def policy(self) -> bool:
        """See ``DomainsetIter.policy``; as ``vm_domainset_iter_next``."""
        while self._remain:
            self._rr()
            if self._remain >> self.domain & 1 and self._takes():
                return True
        if not self._minskip:
            return False
        self._minskip = False
        self._remain = self._low_seen
        return self._phase_first()

    def _takes(self) -> bool:
        """Strike the domain off; whether this phase wants it."""
        bit = 1 << self.domain
        self._remain &= ~bit
        if self._minskip and self._low & bit:
            self._low_seen |= bit
            return False
        return True

    def _phase_first(self) -> bool:
        """``vm_domainset_iter_phase_first``."""
        policy = self._set.policy
        if policy is Policy.FIRSTTOUCH:
            self.domain = self._cpu
        elif policy is Policy.PREFER:
            self.domain = self._set.prefer
        elif policy is Policy.INTERLEAVE:
            self.domain = self._order[self._offset % self._count]
        else:
            self._rr()
        if self._remain >> self.domain & 1 and self._takes():
            return True
        return self.policy()


def vm_domainset_iter_policy_ref_init(
    variant: Variant, dr: DomainsetRef, low: int = 0, *, cpu_domain: int = 0, offset: int = 0
) -> DomainsetIter:
    """An iterator that stands at its first domain.

    A set has at least one domain, so there always is one: 15.x's ``ENOMEM`` is not reached.
    """
    form = MaskedIter if variant.masked else CountedIter
    return form(
        dr, low, advances_first=variant.advances_first, cpu_domain=cpu_domain, offset=offset
    )
