"""The counted form, of 13.x and 14.x.

It counts its steps in ``di_n``, in two passes: the first skips domains below their minimum. The
second visits all domains again, by design.
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
    SHORT,
    SKIPS_SHORT,
    DomainsetIter,
)
from harness.subsystems.domainset.model.machine import Branch, IteratorMisuse, outcomes
from harness.subsystems.domainset.model.sets import ITER_LIMIT, Policy

_NEXT: Final = "vm_domainset_iter_next"
_PREFER: Final = "vm_domainset_iter_prefer"
_STEPS_LEFT: Final = "steps are left"
_PREFERRED: Final = "stepped on to the preferred domain"


class CountedIter(DomainsetIter):
    """``struct vm_domainset_iter`` of 13.x."""

    BRANCHES: ClassVar[tuple[Branch, ...]] = (
        *DomainsetIter.BRANCHES,
        *outcomes(PAGE_INIT, SHORT),
        *outcomes(POLICY_INIT, SHORT),
        *outcomes(PAGE, _STEPS_LEFT, SKIPS_SHORT, SHORT, FIRST_PHASE_OVER),
        *outcomes(POLICY, _STEPS_LEFT, SKIPS_SHORT, SHORT, FIRST_PHASE_OVER),
        *outcomes(FIRST, *POLICIES, OWN),
        *outcomes(_NEXT, "policy is prefer"),
        *outcomes(_PREFER, _PREFERRED),
    )

    def vm_domainset_iter_ignore(self, domain: int) -> None:
        """See ``DomainsetIter``; this form has no such function."""
        raise IteratorMisuse(
            f"a counted iterator cannot ignore domain {domain}",
            remedy="leave the operation out: the function came with masks",
        )

    def _begin(self, function: str) -> int:
        self._first()
        if self._if(function, SHORT, self._short()):
            self._step(PAGE if function == PAGE_INIT else POLICY)
        return 0

    def _step(self, function: str) -> int:
        self.di_n -= 1
        while self._if(function, _STEPS_LEFT, self.di_n != 0):
            self._next()
            if self._wants(function):
                return 0
            self.di_n -= 1
        if self._if(function, FIRST_PHASE_OVER, self.di_minskip):
            self.di_minskip = False
            self._first()
            return 0
        if not self._searches_again(function, self.di_domain.mask):
            return ENOMEM
        self._first()
        return 0

    def _first(self) -> None:
        """``vm_domainset_iter_first``."""
        policy = self._policy_of(FIRST)
        self.di_n = len(self.di_domain.order)
        if policy is Policy.FIRSTTOUCH:
            self.domain = self._machine.cpu_domain
            if self._if(FIRST, OWN, bool(self.di_domain.mask >> self.domain & 1)):
                # The following round-robin visits this domain a second time.
                self.di_n += 1
            else:
                self._rr()
        elif policy is Policy.ROUNDROBIN:
            self._rr()
        elif policy is Policy.PREFER:
            self.domain = self.di_domain.prefer
        else:
            self._interleave_setting_place()

    def _next(self) -> None:
        """``vm_domainset_iter_next``."""
        if self._if(_NEXT, "policy is prefer", self.di_domain.policy is Policy.PREFER):
            self._prefer()
        else:
            self._rr()

    def _prefer(self) -> None:
        """``vm_domainset_iter_prefer``: round-robin over all domains except the preferred one."""
        dr, order = self.di_iter, self.di_domain.order
        while True:
            dr.dr_iter = (dr.dr_iter + 1) % ITER_LIMIT
            self.domain = order[dr.dr_iter % len(order)]
            if not self._if(_PREFER, _PREFERRED, self.domain == self.di_domain.prefer):
                return
