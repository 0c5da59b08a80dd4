"""Plays operations on the model, in a guest of some layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from harness.subsystems.domainset.model.form import Form
from harness.subsystems.domainset.model.iteratorforms import ITERATORS
from harness.subsystems.domainset.model.machine import (
    Branches,
    IteratorMisuse,
    KernelState,
    VmObject,
    Wait,
    uncounted,
)
from harness.subsystems.domainset.model.operations import (
    Call,
    Ignore,
    Operation,
    Operations,
    Short,
    Start,
    Step,
)
from harness.subsystems.domainset.model.sets import (
    Domainset,
    DomainsetRef,
    Policy,
    domainset_create,
    mask_in_words,
    mask_of,
)

if TYPE_CHECKING:
    from harness.subsystems.domainset.model.iterator import DomainsetIter


@dataclass(frozen=True, slots=True)
class Layout:
    """Properties of a guest that iterators depend on.

    Args:
        domains: ``vm_ndomains``.
        empty: mask of the domains without memory, which are in no set.
        object_address: address of the object for which pages are allocated.
        object_size: ``sizeof(struct vm_object)``.
        reserv_order: ``VM_LEVEL_0_ORDER``.
        reserv_order_1: ``VM_LEVEL_1_ORDER``, or 0.
    """

    domains: int
    empty: int = 0
    object_address: int = 0xFFFFF80000000000
    object_size: int = 256
    reserv_order: int = 9
    reserv_order_1: int = 0

    @property
    def usable(self) -> int:
        """Mask of the domains that have memory, which sets may contain."""
        return mask_of(range(self.domains)) & ~self.empty


class Seen(NamedTuple):
    """State that model and kernel must agree on after a call.

    Args:
        domain: the iterator's current domain.
        error: the return value; 0 where the function has none.
        iterator: ``dr_iter``.
        flags: the flags that the init function returns; None after a step.
        minskip: ``di_minskip``.
        n: ``di_n``; None for the forms with masks.
        masks: ``di_valid_mask``, ``di_remain_mask``, ``di_min_mask``; None for the counted form.
        offset: ``di_offset``; None unless the policy is interleave.
        slept: number of times that the call slept.
    """

    domain: int
    error: int
    iterator: int
    flags: Wait | None
    minskip: bool
    n: int | None
    masks: tuple[int, int, int] | None
    offset: int | None
    slept: int


@dataclass(slots=True)
class Player:
    """Plays operations on the model.

    Args:
        form: the form of the code.
        layout: the guest.
        branches: counts the branches that are taken.
        code: the iterator's class; tests pass wrong ones.
    """

    form: Form
    layout: Layout
    branches: Callable[[str, str, bool], bool]
    code: type[DomainsetIter]
    _machine: KernelState = field(init=False)
    _iterator: DomainsetIter | None = None
    _call: Call = Call.POLICY
    _policy: Policy = Policy.ROUNDROBIN
    _failed: bool = False

    def __post_init__(self) -> None:
        self._machine = KernelState(
            reserv_order=self.layout.reserv_order, reserv_order_1=self.layout.reserv_order_1
        )

    def play(self, operation: Operation) -> Seen | None:
        """Run an operation; return the state after it, or None if it calls no iterator.

        Raises:
            IteratorMisuse: the call is invalid.
        """
        match operation:
            case Start():
                return self._start(operation)
            case Step():
                return self._step(operation)
            case Short(mask):
                self._machine.vm_min_domains = mask
            case Ignore(domain):
                self._standing().vm_domainset_iter_ignore(domain)
        return None

    def _start(self, start: Start) -> Seen:
        ds = domainset_create(start.key, self.layout.usable)
        if ds is None or not self._can_be_empty(ds):
            raise IteratorMisuse(
                f"no iterator has the set {mask_in_words(start.key.mask)}",
                remedy=f"choose among the domains with memory, "
                f"{mask_in_words(self.layout.usable)}, and prefer one of the set",
            )
        if start.wait & Wait.WAITFAIL and not start.call.pages:
            raise IteratorMisuse(
                "malloc(9) has no flag to fail after sleeping", remedy="use it with pages only"
            )
        dr = DomainsetRef(ds, start.iterator)
        iterator = self.code(self._machine, dr, self.branches)
        self._iterator, self._call, self._policy = iterator, start.call, ds.policy
        self._begin_call(start.cpu_domain, 0)
        obj = None
        if start.call in (Call.OBJECT, Call.THREAD):
            own = dr if start.call is Call.OBJECT else None
            layout = self.layout
            obj = VmObject(layout.object_address, layout.object_size, own, start.color)
        if start.call.pages:
            error = iterator.vm_domainset_iter_page_init(obj, start.pindex, start.wait)
        elif start.call is Call.REF:
            error = iterator.vm_domainset_iter_policy_ref_init(dr, start.wait)
        else:
            error = iterator.vm_domainset_iter_policy_init(ds, start.wait)
        return self._seen(error, iterator.flags)

    def _can_be_empty(self, ds: Domainset) -> bool:
        """Return whether the code accepts the set: most policies divide by its size."""
        return ds.mask != 0 or (self.form is Form.PHASED and ds.policy is Policy.FIRSTTOUCH)

    def _step(self, step: Step) -> Seen:
        iterator = self._standing()
        if self._failed and self.form is Form.COUNTED:
            raise IteratorMisuse(
                "a counted iterator is not stepped after it failed: di_n would wrap",
                remedy="start a fresh one",
            )
        self._begin_call(step.cpu_domain, step.wake)
        if self._call.pages:
            return self._seen(iterator.vm_domainset_iter_page(), None)
        return self._seen(iterator.vm_domainset_iter_policy(), None)

    def _standing(self) -> DomainsetIter:
        if self._iterator is None:
            raise IteratorMisuse("there is no iterator yet", remedy="start one first")
        return self._iterator

    def _begin_call(self, cpu_domain: int, wake: int) -> None:
        self._machine.cpu_domain = cpu_domain
        self._machine.wake = wake
        self._machine.slept = 0

    def _seen(self, error: int, flags: Wait | None) -> Seen:
        iterator = self._standing()
        counted = self.form is Form.COUNTED
        self._failed = error != 0
        masks = (iterator.di_valid_mask, iterator.di_remain_mask, iterator.di_min_mask)
        return Seen(
            domain=iterator.domain,
            error=error,
            iterator=iterator.di_iter.dr_iter,
            flags=flags,
            minskip=iterator.di_minskip,
            n=iterator.di_n if counted else None,
            masks=None if counted else masks,
            offset=iterator.di_offset if self._policy is Policy.INTERLEAVE else None,
            slept=self._machine.slept,
        )


def new_player(form: Form, layout: Layout, branches: Branches | None = None) -> Player:
    """Return a player of the form's own code; without ``branches``, none are counted."""
    return Player(form, layout, branches or uncounted, ITERATORS[form])


def is_taken(form: Form, layout: Layout, operations: Operations) -> bool:
    """Return whether all operations are valid in this order."""
    player = new_player(form, layout)
    try:
        for operation in operations:
            player.play(operation)
    except IteratorMisuse:
        return False
    return True
