"""Runs traces on zones of a guest, over its channel, and compares with the model."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from harness.arch import GUEST
from harness.check.channel import Channel, GuestRefused
from harness.check.modelled import TRACE_LENGTH, Modelled
from harness.check.protocol import read_number
from harness.check.subject import Differs, Finding
from harness.errors import UsageError
from harness.subsystems.uma.check.generate import (
    PATIENCE,
    ZonePlan,
    random_steps,
    zone_plan,
)
from harness.subsystems.uma.check.observation import (
    Observation,
    answer_text,
    differences,
    of_guest,
    of_model,
)
from harness.subsystems.uma.check.protocol import (
    ANSWER_NAMES,
    Counters,
    Order,
    Starved,
    command,
    read_answer,
    read_counters,
    read_starved,
)
from harness.subsystems.uma.model.flags import KernelAssertion
from harness.subsystems.uma.model.player import DomainSource, Operation, Player, Verb
from harness.subsystems.uma.model.shape import Shape
from harness.subsystems.uma.model.trace import Trace

if TYPE_CHECKING:
    from harness.console.events import ProbeRecord
    from harness.console.report import GuestReport
    from harness.subsystems.uma.model.variants import Variant

PAGE = GUEST.page
# Looking up members of an enumeration would slow each operation.
_ALLOC: Final = Verb.ALLOC
_FREE: Final = Verb.FREE
_BY_CPU: Final = DomainSource.CPU
_SIZE_STEP = 8
_STARVE_MS = 2000
#: Seconds for allocating and freeing a domain's pages, in addition to the waiting.
_STARVE_SECONDS = 120.0


class CheckedGuest(Modelled[Trace, Operation, Observation]):
    """Zones of a guest with a check module, compared with a variant; see ``Modelled``."""

    def __init__(
        self,
        channel: Channel,
        report: GuestReport,
        domains: int,
        done: Callable[[], None],
        variant: Variant,
    ) -> None:
        super().__init__(channel, report, domains, done)
        self._variant = variant
        self._sizes: dict[tuple[int, bool], int] = {}
        self._told: tuple[Counters, ...] = ()
        self._cpu = 0
        self._hashes: bool | None = None

    def random_trace(self, rng: random.Random) -> Trace:
        """See ``Subject``."""
        if self._hashes is None:
            self._hashes = self._knows_hashes()
        shape = self.zone(zone_plan(rng, self.setups, hashed=self._hashes))
        steps = tuple(random_steps(rng, self._variant, shape, TRACE_LENGTH))
        trace = Trace(self._variant, shape, tuple(operation for operation, _ in steps))
        self._foreseen = (trace, tuple(seen for _, seen in steps))
        return trace

    def given_trace(self, trace: Trace) -> Trace:
        """See ``Subject``."""
        try:
            shape = self.zone(plan_of(trace.shape))
        except GuestRefused as refused:
            raise UsageError(
                str(refused),
                remedy="replay a trace with fewer, or more, items per slab (ipers=)",
            ) from refused
        if shape.domains < trace.shape.domains:
            raise UsageError(
                f"the trace is for {trace.shape.domains} domains, the guest has {shape.domains}",
                remedy=f"use --numa {trace.shape.domains}, or a --vm with as many domains",
            )
        here = self._held(replace(trace, shape=shape))
        if here is None:
            raise UsageError(
                "the trace has an operation that the kernel asserts against, or that never ends",
                remedy="run it in the model: harness model trace",
            )
        return here

    def _knows_hashes(self) -> bool:
        """Return whether the guest supports zones with hashed slabs."""
        try:
            self._make(Order(PAGE // 2, 0, round_robin=False, hashed=True, patience=PATIENCE))
        except GuestRefused:
            return False
        return True

    def zone(self, plan: ZonePlan) -> Shape:
        """Create a zone; return its shape, with the state that it starts in.

        Raises:
            GuestRefused: the guest cannot create such a zone.
            ChannelEnded: see ``Channel``.
        """
        record = self._sized(plan)
        self.setups += 1
        counters = read_counters(record)
        self._told = tuple(counters.get(each, Counters()) for each in range(self._domains))
        return Shape(
            domains=self._domains,
            ipers=plan.ipers,
            reserve=plan.reserve,
            hashed=plan.hashed,
            first_touch=not plan.round_robin,
            empty=self._empty,
            place=read_number(record, "place"),
            patience=PATIENCE,
        )

    def run_again(self, trace: Trace) -> Differs | None:
        """See ``Subject``."""
        if not is_taken(trace):
            return None
        shape = self.zone(plan_of(trace.shape))
        return self.run(replace(trace, shape=shape))

    def discard(self) -> None:
        """See ``Subject``: frees the zone's memory."""
        self._channel.ask("discard")

    def beside(self) -> Finding:
        """See ``Subject``: reports how a thread waits for memory in an exhausted domain."""
        domain = self._starvable()
        if domain is None:
            return Finding()
        try:
            starved = self._starve(domain)
        except GuestRefused:
            return Finding()  # the built-in guest has one thread
        notes, measured = (starved.in_words(),), starved.measured()
        if starved.asleep == self._variant.domain_wait:
            return Finding(notes, measured)
        does = "sleeps" if starved.asleep else "spins"
        return Finding(
            notes, measured,
            f"a thread that waits for memory of domain {domain} {does}: "
            f"{starved.calls_per_second:.0f} calls of the slab allocator a second",
            self._like(replace(self._variant, domain_wait=starved.asleep)),
        )  # fmt: skip

    def _like(self, variant: Variant) -> str:
        return f"the variant {' and '.join(variant.unlike(self._variant))}"

    def _starve(self, domain: int) -> Starved:
        """Return how a thread waits for memory in an exhausted domain."""
        self.zone(ZonePlan(2, 0, round_robin=False, hashed=False))
        cpu = self._cpu_of(domain, 0)
        answer = self._channel.ask(
            f"starve domain={domain} cpu={cpu} milliseconds={_STARVE_MS}", _STARVE_SECONDS
        )
        return read_starved(answer)

    def _starvable(self) -> int | None:
        """Return a domain to exhaust while others have memory; None if there is none.

        It is the last one, as a sanitizer's shadow is in the first.
        """
        return next(
            (d for d in reversed(range(1, self._domains)) if not self._empty >> d & 1), None
        )

    def _held(self, trace: Trace) -> Trace | None:
        held = replace(trace, variant=self._variant)
        return held if is_taken(held) else None

    def _alternatives(self) -> Iterator[tuple[Self, str]]:
        for variant in self._variant.neighbours():
            same = self._channel, self._report, self._domains, lambda: None
            yield type(self)(*same, variant), self._like(variant)

    def _model(self, trace: Trace) -> Callable[[Operation], Observation]:
        player = Player(self._variant, trace.shape, explains=False)
        return lambda operation: of_model(player, player.play(operation))

    def _observed(self, answer: ProbeRecord, operation: Operation) -> Observation:
        return of_guest(read_answer(answer), self._told)

    def _answer(self, expected: Observation, operation: Operation) -> str:
        return answer_text(expected, ANSWER_NAMES[operation.verb], self._told)

    def _agreed(self, seen: Observation) -> None:
        self._told = seen.counters

    def _differences(self, model: Observation, guest: Observation) -> tuple[str, ...]:
        return differences(model, guest)

    def _in_words(self, operation: Operation) -> str:
        return str(operation)

    def _command(self, operation: Operation, number: int) -> str:
        """Return the command; ``number`` is the operation's in its trace, and an item's slot."""
        verb = operation.verb
        slot = operation.number if verb is _FREE else number
        if verb is _ALLOC and operation.place is _BY_CPU:
            # Other operations stay on that CPU, because moving takes longer than the rest.
            self._cpu = self._cpu_of(operation.number, number)
        return command(operation, slot, self._cpu)

    def _make(self, order: Order) -> ProbeRecord:
        return self._channel.ask(str(order))

    def _sized(self, plan: ZonePlan) -> ProbeRecord:
        """Create a zone with the largest item size that gives this number of items per slab."""
        key = (plan.ipers, plan.hashed)
        first = self._sizes.get(key, PAGE // plan.ipers // _SIZE_STEP * _SIZE_STEP)
        last = PAGE // (plan.ipers + 1) if plan.ipers > 1 else PAGE // 2
        for size in range(first, last, -_SIZE_STEP):
            order = Order(size, plan.reserve, plan.round_robin, plan.hashed, PATIENCE)
            try:
                record = self._make(order)
            except GuestRefused:
                continue
            if read_number(record, "ipers") == plan.ipers:
                self._sizes[key] = size
                return record
        raise GuestRefused(f"the guest makes no zone with {plan.ipers} items a slab")


def plan_of(shape: Shape) -> ZonePlan:
    """Return the parameters of a zone with this shape."""
    return ZonePlan(shape.ipers, shape.reserve, not shape.first_touch, shape.hashed)


def is_taken(trace: Trace) -> bool:
    """Return whether all operations end in the model, without a failed assertion."""
    player = Player(trace.variant, trace.shape, explains=False)
    try:
        outcomes = [player.play(operation).outcome for operation in trace.operations]
    except (KernelAssertion, UsageError):
        return False
    return not any(outcome is not None and outcome.blocked for outcome in outcomes)
