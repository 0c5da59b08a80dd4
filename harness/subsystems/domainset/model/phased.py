"""The phased form, as 15.1 has it: each search visits each domain once.

The first phase visits domains that are not below their minimum; the second visits those that the
first found below it. Each restart begins with the first phase.
"""

from __future__ import annotations

from typing import ClassVar, Final

from harness.subsystems.domainset.model.iterator import (
    ENOMEM,
    FIRST_PHASE_OVER,
    PAGE,
    PAGE_INIT,
    POLICIES,
    POLICY,
    POLICY_INIT,
    REMAINING,
    REMAINS,
    SHORT,
    SKIPS_SHORT,
    DomainsetIter,
)
from harness.subsystems.domainset.model.machine import Branch, outcomes
from harness.subsystems.domainset.model.sets import Policy

_PHASE_FIRST: Final = "vm_domainset_iter_phase_first"
_NEXT: Final = "vm_domainset_iter_next"
_FOUND: Final = "a domain is found"
_FOUND_AGAIN: Final = "a domain is found after sleeping"


class PhasedIter(DomainsetIter):
    """``struct vm_domainset_iter`` of 15.1."""

    ADVANCES_FIRST: ClassVar[bool] = False
    BRANCHES: ClassVar[tuple[Branch, ...]] = (
        *DomainsetIter.BRANCHES,
        *outcomes(PAGE_INIT, _FOUND),
        *outcomes(POLICY_INIT, _FOUND),
        *outcomes(PAGE, _FOUND, _FOUND_AGAIN),
        *outcomes(POLICY, _FOUND, _FOUND_AGAIN),
        *outcomes(_PHASE_FIRST, *POLICIES, REMAINS, SKIPS_SHORT, SHORT),
        *outcomes(_NEXT, REMAINING, REMAINS, SKIPS_SHORT, SHORT, FIRST_PHASE_OVER),
    )

    def vm_domainset_iter_ignore(self, domain: int) -> None:
        """See ``DomainsetIter``."""
        self._ignore(domain)

    def _reserv_order(self) -> int:
        return self._machine.reserv_order + self._machine.reserv_order_1

    def _begin(self, function: str) -> int:
        self.di_valid_mask = self.di_domain.mask
        return 0 if self._if(function, _FOUND, self._first()) else ENOMEM

    def _step(self, function: str) -> int:
        if self._if(function, _FOUND, self._next()):
            return 0
        if not self._searches_again(function, self.di_valid_mask):
            return ENOMEM
        return 0 if self._if(function, _FOUND_AGAIN, self._first()) else ENOMEM

    def _first(self) -> bool:
        """``vm_domainset_iter_first``: whether there is a domain to begin with."""
        self.di_remain_mask = self.di_valid_mask
        self.di_min_mask = 0
        self.di_minskip = True
        return self._phase_first()

    def _phase_first(self) -> bool:
        """``vm_domainset_iter_phase_first``: whether there is a domain in this phase."""
        policy = self._policy_of(_PHASE_FIRST)
        if policy is Policy.FIRSTTOUCH:
            self.domain = self._machine.cpu_domain
        elif policy is Policy.ROUNDROBIN:
            self._rr()
        elif policy is Policy.PREFER:
            self.domain = self.di_domain.prefer
        else:
            order = self.di_domain.order
            self.domain = order[self.di_offset % len(order)]
        if not self._remains(_PHASE_FIRST):
            return self._next()
        self.di_remain_mask &= ~(1 << self.domain)
        if not self._wants(_PHASE_FIRST):
            self.di_min_mask |= 1 << self.domain
            return self._next()
        return True

    def _next(self) -> bool:
        """``vm_domainset_iter_next``: whether there is another domain, of either phase."""
        while self._if(_NEXT, REMAINING, self.di_remain_mask != 0):
            self._rr()
            if self._remains(_NEXT):
                self.di_remain_mask &= ~(1 << self.domain)
                if self._wants(_NEXT):
                    return True
                self.di_min_mask |= 1 << self.domain
        if self._if(_NEXT, FIRST_PHASE_OVER, self.di_minskip):
            self.di_minskip = False
            self.di_remain_mask = self.di_min_mask
            return self._phase_first()
        return False
