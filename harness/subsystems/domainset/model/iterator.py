"""``struct vm_domainset_iter``, and what its three forms share.

The attribute ``domain`` is what C returns through ``*domain``; ``flags`` is what it returns through
``*flags`` or ``*req``. Functions return 0 or ``ENOMEM``.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final

from harness.subsystems.domainset.model.machine import (
    Branch,
    IteratorMisuse,
    KernelState,
    VmObject,
    Wait,
    outcomes,
)
from harness.subsystems.domainset.model.sets import ITER_LIMIT, Domainset, DomainsetRef, Policy

ENOMEM: Final = errno.ENOMEM

FIRST: Final = "vm_domainset_iter_first"
INIT: Final = "vm_domainset_iter_init"
PAGE_INIT: Final = "vm_domainset_iter_page_init"
PAGE: Final = "vm_domainset_iter_page"
POLICY_INIT: Final = "_vm_domainset_iter_policy_init"
POLICY: Final = "vm_domainset_iter_policy"

INTERLEAVES: Final = "policy interleaves"
RESERVATIONS: Final = "object has reservations"
OBJECT: Final = "object given"
OBJECT_POLICY: Final = "object has a policy"
MAY_SLEEP: Final = "caller may sleep"
WAITFAIL: Final = "caller wants an error after sleeping"
SKIPS_SHORT: Final = "first phase"
SHORT: Final = "domain is short"
FIRST_PHASE_OVER: Final = "the first phase ends"
OWN: Final = "the CPU's domain is in the set"
REMAINING: Final = "domains remain"
REMAINS: Final = "domain remains"
POLICIES: Final = tuple(f"policy is {policy}" for policy in Policy)

_CASES: Final = tuple(zip(Policy, POLICIES, strict=True))

#: Values of an uninitialised iterator.
_NO_DOMAINS: Final = Domainset(Policy.ROUNDROBIN, 0)
_NO_FLAGS: Final = Wait(0)

#: Flags after ``_vm_domainset_iter_policy_init``, by the caller's flags.
_LEFT: Final = {Wait(flags): Wait(flags) & ~Wait.WAITOK | Wait.NOWAIT for flags in range(8)}

#: ``vm_domainset_default_stride``, in pages.
_STRIDE: Final = 64
_PINDEX_LIMIT: Final = 1 << 64


class DomainsetIter(ABC):
    """An iterator of one form.

    Args:
        machine: the kernel around it, which may change between calls.
        thread: ``curthread->td_domain``.
        branches: called with each condition and its outcome, which it returns; see ``uncounted``.
        advances_first: whether ``vm_domainset_iter_rr`` advances the place before reading it; None
            for the form's order.
    """

    #: Whether ``vm_domainset_iter_rr`` of this form advances the place before reading it.
    ADVANCES_FIRST: ClassVar[bool] = True

    #: Conditions of the C text, except for outcomes that no caller can cause.
    BRANCHES: ClassVar[tuple[Branch, ...]] = (
        *outcomes(INIT, INTERLEAVES, RESERVATIONS, OBJECT),
        *outcomes(PAGE_INIT, OBJECT, OBJECT_POLICY),
        *outcomes(PAGE, MAY_SLEEP, OBJECT, WAITFAIL),
        *outcomes(POLICY, MAY_SLEEP),
    )

    def __init__(
        self,
        machine: KernelState,
        thread: DomainsetRef,
        branches: Callable[[str, str, bool], bool],
        *,
        advances_first: bool | None = None,
    ) -> None:
        self._advances_first = self.ADVANCES_FIRST if advances_first is None else advances_first
        self._machine = machine
        self._thread = thread
        self._if = branches
        self._obj: VmObject | None = None
        self.di_domain = _NO_DOMAINS
        self.di_iter = thread
        self.di_offset = 0
        self.di_flags = self.flags = _NO_FLAGS
        self.di_minskip = True
        self.di_n = 0
        self.di_valid_mask = self.di_remain_mask = self.di_min_mask = 0
        self.domain = -1

    # --- what callers call ----------------------------------------------------------------------

    def vm_domainset_iter_page_init(self, obj: VmObject | None, pindex: int, req: Wait) -> int:
        """Move to the first domain for a page of an object; return 0 or ``ENOMEM``."""
        dr = self._thread
        if self._if(PAGE_INIT, OBJECT, obj is not None) and obj is not None:
            own = obj.domain
            if self._if(PAGE_INIT, OBJECT_POLICY, own is not None) and own is not None:
                dr = own
        self._obj = obj
        self._iter_init(dr.dr_policy, dr, obj, pindex)
        self.di_flags = req
        self.flags = req & ~(Wait.WAITOK | Wait.WAITFAIL) | Wait.NOWAIT
        return self._begin(PAGE_INIT)

    def vm_domainset_iter_policy_init(self, ds: Domainset, flags: Wait) -> int:
        """Move to the set's first domain, from the thread's place; return 0 or ``ENOMEM``."""
        self._iter_init(ds, self._thread, None, 0)
        return self._policy_init(flags)

    def vm_domainset_iter_policy_ref_init(self, dr: DomainsetRef, flags: Wait) -> int:
        """Move to the first domain of a reference; return 0 or ``ENOMEM``."""
        self._iter_init(dr.dr_policy, dr, None, 0)
        return self._policy_init(flags)

    def vm_domainset_iter_page(self) -> int:
        """Move to the next domain; return 0 or ``ENOMEM``. May sleep, without the object's lock."""
        return self._step(PAGE)

    def vm_domainset_iter_policy(self) -> int:
        """Move to the next domain; return 0 or ``ENOMEM``. May sleep."""
        return self._step(POLICY)

    @abstractmethod
    def vm_domainset_iter_ignore(self, domain: int) -> None:
        """Ignore a domain from the next restart on.

        Raises:
            IteratorMisuse: it is ignored already, or the form has no such function.
        """

    # --- what differs ---------------------------------------------------------------------------

    @abstractmethod
    def _begin(self, function: str) -> int:
        """Finish an init function, after ``_iter_init``."""

    @abstractmethod
    def _step(self, function: str) -> int:
        """``page`` or ``policy``, which differ only in how they sleep."""

    def _reserv_order(self) -> int:
        """The shift from a page's index to its reservation's."""
        return self._machine.reserv_order

    # --- what is the same in all forms ----------------------------------------------------------

    def _iter_init(
        self, ds: Domainset, dr: DomainsetRef, obj: VmObject | None, pindex: int
    ) -> None:
        """``vm_domainset_iter_init``."""
        self.di_domain = ds
        self.di_iter = dr
        if self._if(INIT, INTERLEAVES, ds.policy is Policy.INTERLEAVE):
            color = obj.pg_color if obj is not None else None
            if self._if(INIT, RESERVATIONS, color is not None) and color is not None:
                pindex = (pindex + color) % _PINDEX_LIMIT >> self._reserv_order()
            else:
                pindex //= _STRIDE
            if self._if(INIT, OBJECT, obj is not None) and obj is not None:
                pindex += obj.address // obj.size
            self.di_offset = pindex % _PINDEX_LIMIT
        self.di_minskip = True

    def _policy_init(self, flags: Wait) -> int:
        """``_vm_domainset_iter_policy_init``."""
        self.di_flags = flags
        self.flags = _LEFT[flags]
        return self._begin(POLICY_INIT)

    def _searches_again(self, function: str, mask: int) -> bool:
        """Sleep for memory of these domains; return whether to search again."""
        waits = Wait.WAITOK | Wait.WAITFAIL if function == PAGE else Wait.WAITOK
        if not self._if(function, MAY_SLEEP, bool(self.di_flags & waits)):
            return False
        if function == PAGE:
            self._if(PAGE, OBJECT, self._obj is not None)
        self._machine.vm_wait_doms(mask)
        return function != PAGE or not self._if(PAGE, WAITFAIL, Wait.WAITFAIL in self.di_flags)

    def _rr(self) -> None:
        """``vm_domainset_iter_rr``."""
        dr, order = self.di_iter, self.di_domain.order
        place = dr.dr_iter
        dr.dr_iter = (place + 1) % ITER_LIMIT
        self.domain = order[(dr.dr_iter if self._advances_first else place) % len(order)]

    def _policy_of(self, function: str) -> Policy:
        """Return the policy, and count each case of the switch."""
        policy = self.di_domain.policy
        for each, condition in _CASES:
            self._if(function, condition, each is policy)
        return policy

    def _interleave_setting_place(self) -> None:
        """``vm_domainset_iter_interleave`` before 15.x, which also sets the place."""
        order = self.di_domain.order
        self.di_iter.dr_iter = self.di_offset % len(order)
        self.domain = order[self.di_iter.dr_iter]

    def _wants(self, function: str) -> bool:
        """Return whether the phase visits the domain: the first one skips short domains."""
        skips = self._if(function, SKIPS_SHORT, self.di_minskip)
        return not skips or not self._if(function, SHORT, self._short())

    def _remains(self, function: str) -> bool:
        """Return whether the domain is still to be visited."""
        return self._if(function, REMAINS, bool(self.di_remain_mask >> self.domain & 1))

    def _ignore(self, domain: int) -> None:
        """``vm_domainset_iter_ignore`` of the forms that have it."""
        if not self.di_valid_mask >> domain & 1:
            raise IteratorMisuse(
                f"domain {domain} is not among those that the iterator may visit",
                remedy="ignore each domain once, and only domains of the set",
            )
        self.di_valid_mask &= ~(1 << domain)

    def _short(self) -> bool:
        """Return whether the current domain is below its minimum."""
        return self._machine.vm_page_count_min_domain(self.domain)
