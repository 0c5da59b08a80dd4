"""The form of main at 0206ec4350ca: masks, and a search that restarts in the phase it ended in.

After ``vm_wait_doms`` the second phase continues: it visits the policy's first domain, and those
that were short when last checked. If only the preferred domain was short, it visits that for ever.
"""

from __future__ import annotations

from typing import ClassVar, Final

from harness.subsystems.domainset.model.iterator import (
    ENOMEM,
    FIRST,
    FIRST_PHASE_OVER,
    OWN,
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

_ALL_IGNORED: Final = "all domains are ignored"
_STEP: Final = (_ALL_IGNORED, REMAINING, REMAINS, SKIPS_SHORT, SHORT, FIRST_PHASE_OVER)


class RestartIter(DomainsetIter):
    """``struct vm_domainset_iter`` of main before the phases were made whole."""

    BRANCHES: ClassVar[tuple[Branch, ...]] = (
        *DomainsetIter.BRANCHES,
        *outcomes(PAGE_INIT, SHORT),
        *outcomes(POLICY_INIT, SHORT),
        *outcomes(PAGE, *_STEP),
        *outcomes(POLICY, *_STEP),
        *outcomes(FIRST, *POLICIES, OWN, SKIPS_SHORT),
    )

    def vm_domainset_iter_ignore(self, domain: int) -> None:
        """See ``DomainsetIter``."""
        self._ignore(domain)

    def _begin(self, function: str) -> int:
        self.di_valid_mask = self.di_domain.mask
        self._first()
        if self._if(function, SHORT, self._short()):
            self._step(PAGE if function == PAGE_INIT else POLICY)
        return 0

    def _step(self, function: str) -> int:
        if self._if(function, _ALL_IGNORED, self.di_valid_mask == 0):
            return ENOMEM
        while self._if(function, REMAINING, self.di_remain_mask != 0):
            self._rr()
            if self._remains(function):
                self.di_remain_mask &= ~(1 << self.domain)
                if self._wants(function):
                    return 0
                self.di_min_mask |= 1 << self.domain
        if self._if(function, FIRST_PHASE_OVER, self.di_minskip):
            self.di_minskip = False
            self._first()
            return 0
        if not self._searches_again(function, self.di_valid_mask):
            return ENOMEM
        self._first()
        return 0

    def _first(self) -> None:
        """``vm_domainset_iter_first``."""
        policy = self._policy_of(FIRST)
        if policy is Policy.FIRSTTOUCH:
            self.domain = self._machine.cpu_domain
            if not self._if(FIRST, OWN, bool(self.di_valid_mask >> self.domain & 1)):
                self._rr()
        elif policy is Policy.ROUNDROBIN:
            self._rr()
        elif policy is Policy.PREFER:
            self.domain = self.di_domain.prefer
        else:
            self._interleave_setting_place()
        if self._if(FIRST, SKIPS_SHORT, self.di_minskip):
            self.di_remain_mask = self.di_valid_mask
            self.di_min_mask = 0
        else:
            self.di_remain_mask = self.di_min_mask
        self.di_remain_mask &= ~(1 << self.domain)
