"""Random operations on iterators, weighted towards rare states; pure.

The same seed gives the same operations.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from harness.check.weighted import Weighted
from harness.subsystems.domainset.model.form import Form
from harness.subsystems.domainset.model.machine import Wait
from harness.subsystems.domainset.model.operations import (
    Call,
    Ignore,
    Operation,
    Operations,
    Short,
    Start,
    Step,
)
from harness.subsystems.domainset.model.player import Layout, Seen, new_player
from harness.subsystems.domainset.model.sets import (
    ITER_LIMIT,
    Domainset,
    Policy,
    domains_of,
    mask_of,
)

if TYPE_CHECKING:
    from harness.subsystems.domainset.model.machine import Branches

_VERBS: Final[Weighted[type[Operation]]] = Weighted(
    ((Step, 70), (Short, 14), (Ignore, 8), (Start, 8))
)
_CALLS: Final = tuple(Call)
_POLICIES: Final = tuple(Policy)
#: Probability that an iterator with masks is stepped once more after it failed.
_AFTER_FAILURE: Final = 0.4
#: Probability of an empty set, if the kernel accepts one.
_EMPTY_SET: Final = 0.15
_PAGE_WAITS: Final = Weighted(((Wait.NOWAIT, 4), (Wait.WAITOK, 4), (Wait.WAITFAIL, 3)))
_POLICY_WAITS: Final = Weighted(((Wait.NOWAIT, 4), (Wait.WAITOK, 5)))
#: Probability that a CPU of another domain makes the call: moving takes a guest long.
_MOVES: Final = 0.15
#: The same for the policy that uses the CPU's domain.
_MOVES_FIRST_TOUCH: Final = 0.6
#: Indices of pages at the boundaries of strides and of reservations.
_PINDICES: Final = (0, 1, 63, 64, 511, 512, 1023)
_RESERVATION: Final = 512


def random_operations(rng: random.Random, form: Form, layout: Layout, length: int) -> Operations:
    """Return valid operations.

    Args:
        rng: the source of randomness.
        form: the form of the code, which determines what is valid.
        layout: the guest.
        length: number of operations.
    """
    return tuple(operation for operation, _ in random_steps(rng, form, layout, length))


def random_steps(
    rng: random.Random, form: Form, layout: Layout, length: int, branches: Branches | None = None
) -> Iterator[tuple[Operation, Seen | None]]:
    """Generate the same operations, each with the model's state after it.

    Args:
        rng: see ``random_operations``, also for the next three.
        form: the form of the code.
        layout: the guest.
        length: number of operations.
        branches: counts the branches that are taken.
    """
    writer = _Writer(rng, form, layout, branches)
    for _ in range(length):
        yield writer.write()


class _Writer:
    def __init__(
        self, rng: random.Random, form: Form, layout: Layout, branches: Branches | None
    ) -> None:
        self._rng = rng
        self._form = form
        self._layout = layout
        self._player = new_player(form, layout, branches)
        self._valid = 0
        self._error = 0
        self._started = False
        self._cpu = rng.randrange(layout.domains)
        self._policy = Policy.ROUNDROBIN

    def write(self) -> tuple[Operation, Seen | None]:
        """Return the next operation, and the state after it."""
        operation = self._operation()
        seen = self._player.play(operation)
        if isinstance(operation, Start):
            self._started = True
            self._policy = operation.key.policy
            self._valid = operation.key.mask
        elif isinstance(operation, Ignore):
            self._valid &= ~(1 << operation.domain)
        if seen is not None:
            self._error = seen.error
        return operation, seen

    def _operation(self) -> Operation:
        verb = _VERBS.choose(self._rng)
        counted = self._form is Form.COUNTED
        gives_up = self._error and (counted or self._rng.random() >= _AFTER_FAILURE)
        if verb is Short:
            return Short(self._some(0.2, 0.25))
        if not self._started or gives_up or verb is Start:
            return self._start()
        if verb is Ignore and not counted and self._valid:
            return Ignore(self._rng.choice(domains_of(self._valid)))
        return Step(self._cpu_domain(self._policy), self._some(0.35, 0.1))

    def _start(self) -> Start:
        call, key = self._rng.choice(_CALLS), self._key()
        pages = call in (Call.OBJECT, Call.THREAD)
        colored = pages and self._rng.random() < 0.5
        return Start(
            call,
            key,
            self._place(),
            (_PAGE_WAITS if call.pages else _POLICY_WAITS).choose(self._rng),
            self._cpu_domain(key.policy),
            self._pindex() if pages else 0,
            self._rng.randrange(_RESERVATION) if colored else None,
        )

    def _key(self) -> Domainset:
        policy = self._rng.choice(_POLICIES)
        takes_empty = self._form is Form.PHASED and policy is Policy.FIRSTTOUCH
        if takes_empty and self._rng.random() < _EMPTY_SET:
            return Domainset(policy, 0)
        mask = self._some(0, 0.4) or self._layout.usable
        prefer = self._rng.choice(domains_of(mask)) if policy is Policy.PREFER else -1
        return Domainset(policy, mask, prefer)

    def _place(self) -> int:
        near = self._rng.randrange(2 * self._layout.domains)
        return self._rng.choice((near, ITER_LIMIT - 1 - near, self._rng.randrange(ITER_LIMIT)))

    def _pindex(self) -> int:
        return self._rng.choice((*_PINDICES, self._rng.randrange(1 << 20)))

    def _cpu_domain(self, policy: Policy) -> int:
        """Return the domain of a CPU, which may have no memory."""
        chance = _MOVES_FIRST_TOUCH if policy is Policy.FIRSTTOUCH else _MOVES
        if self._rng.random() < chance:
            self._cpu = self._rng.randrange(self._layout.domains)
        return self._cpu

    def _some(self, none: float, every: float) -> int:
        """Return a random mask of domains with memory; none or all with these probabilities."""
        chance = self._rng.random()
        if chance < none:
            return 0
        usable = domains_of(self._layout.usable)
        if chance < none + every:
            return self._layout.usable
        return mask_of(domain for domain in usable if self._rng.random() < 0.5)
