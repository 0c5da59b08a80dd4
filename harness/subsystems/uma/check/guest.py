"""A guest's zones and operations, over its channel: runs traces, and holds them to the model."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.check.channel import Channel, GuestRefused
from harness.check.protocol import read_number
from harness.check.subject import Differs, Finding
from harness.errors import UsageError
from harness.subsystems.uma.check.generate import (
    PATIENCE,
    TRACE_LENGTH,
    ZonePlan,
    random_operations,
    zone_plan,
)
from harness.subsystems.uma.check.observation import Observation, differences, of_guest, of_model
from harness.subsystems.uma.check.protocol import (
    Counters,
    Order,
    Starved,
    command,
    read_answer,
    read_counters,
    read_starved,
)
from harness.subsystems.uma.model.flags import KernelAssertion
from harness.subsystems.uma.model.trace import Operation, Place, Player, Trace, Verb, run_trace
from harness.subsystems.uma.model.zone import Shape

if TYPE_CHECKING:
    from harness.console.events import ProbeRecord
    from harness.console.report import GuestReport
    from harness.subsystems.uma.model.variants import Variant

PAGE = 4096
#: Commands that may be on their way; the guest answers them one by one.
_WINDOW = 24
_SIZE_STEP = 8
_STARVE_MS = 2000
#: What taking and giving back a domain's pages may take, in seconds, beside the waiting itself.
_STARVE_SECONDS = 120.0
#: Random traces in which a variant must agree with a guest that differs from its specification.
_CONFIRMING_TRACES = 4


class CheckedGuest:
    """A guest with a check module.

    Args:
        channel: to the module, open.
        report: what the guest said of its CPUs and memory.
        domains: how many it has.
        variant: of the model that it is held against.
        done: told of each operation that did what the model says.
    """

    def __init__(
        self,
        channel: Channel,
        report: GuestReport,
        domains: int,
        variant: Variant,
        done: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._variant = variant
        self._done = done
        self._report = report
        self._domains = domains
        self._empty = sum(
            1 << domain for domain, memory in report.memory.items() if memory.pages == 0
        )
        self._cpus = {
            domain: sorted(cpu for cpu, home in report.cpus.items() if home == domain)
            for domain in range(domains)
        }
        self._sizes: dict[tuple[int, bool], int] = {}
        self._told: dict[int, Counters] = {}
        self._cpu = 0
        self._hashes: bool | None = None
        self.setups = 0

    def random_trace(self, rng: random.Random) -> Trace:
        """See ``Subject``."""
        if self._hashes is None:
            self._hashes = self._knows_hashes()
        shape = self.zone(zone_plan(rng, self.setups, hashed=self._hashes))
        operations = random_operations(rng, self._variant, shape, TRACE_LENGTH)
        return Trace(self._variant, shape, operations)

    def given_trace(self, trace: Trace) -> Trace:
        """See ``Subject``."""
        shape = self.zone(plan_of(trace.shape))
        if shape.domains < trace.shape.domains:
            raise UsageError(
                f"the trace is for {trace.shape.domains} domains, the guest has {shape.domains}",
                remedy=f"give the guest as many: --numa {trace.shape.domains}, or a --vm that has "
                "them",
            )
        here = Trace(self._variant, shape, trace.operations)
        if not is_taken(here):
            raise UsageError(
                "the trace has an operation that the kernel asserts against, or that never ends",
                remedy="see what harness model trace says of it",
            )
        return here

    def _knows_hashes(self) -> bool:
        """Whether it knows zones whose slabs hash into one list."""
        try:
            self._make(Order(PAGE // 2, 0, round_robin=False, hashed=True, patience=PATIENCE))
        except GuestRefused:
            return False
        return True

    def zone(self, plan: ZonePlan) -> Shape:
        """A fresh zone; what it starts with is read once, here.

        Raises:
            UsageError: the guest makes no such zone.
            ChannelEnded: see ``Channel``.
        """
        record = self._sized(plan)
        self.setups += 1
        self._told = read_counters(record)
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

    def run(self, trace: Trace) -> Differs | None:
        """See ``Subject``."""
        player = Player(self._variant, trace.shape)
        expected: deque[Observation] = deque()
        seen: list[Observation] = []
        ahead = iter(trace.operations)
        for place, operation in enumerate(trace.operations):
            for following in ahead:
                expected.append(of_model(player, player.play(following)))
                number = place + self._channel.outstanding + 1
                self._channel.send(self._command(following, number))
                if self._channel.outstanding >= _WINDOW:
                    break
            seen.append(self._observed())
            found = differences(expected.popleft(), seen[-1])
            if found:
                self._channel.settle()
                return Differs(place, str(operation), found, tuple(seen))
            self._done()
        return None

    def run_again(self, trace: Trace) -> Differs | None:
        """See ``Subject``."""
        if not is_taken(trace):
            return None
        shape = self.zone(plan_of(trace.shape))
        return self.run(replace(trace, shape=shape))

    def discard(self) -> None:
        """See ``Subject``: gives the zone's memory back."""
        self._channel.ask("discard")

    def alike(self, trace: Trace, found: Differs, seed: int) -> str:
        """See ``Subject``: the variant that does what the guest did, if one does.

        One that explains the trace by chance does not agree with the guest for long, so it is
        held to random traces as well.
        """
        for variant in self._variant.neighbours():
            if explains(replace(trace, variant=variant), found.seen):
                guest = CheckedGuest(
                    self._channel, self._report, self._domains, variant, lambda: None
                )
                if guest.agrees(seed):
                    return self._in_words(variant)
        return ""

    def agrees(self, seed: int) -> bool:
        """Whether it does what its variant does, in some random traces."""
        rng = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        for _ in range(_CONFIRMING_TRACES):
            if self.run(self.random_trace(rng)) is not None:
                return False
            self.discard()
        return True

    def beside(self) -> Finding:
        """See ``Subject``: how a thread waits for memory in a domain that has none to give."""
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
            self._in_words(replace(self._variant, domain_wait=starved.asleep)),
        )  # fmt: skip

    def _in_words(self, variant: Variant) -> str:
        return f"the variant {' and '.join(variant.unlike(self._variant))}"

    def _starve(self, domain: int) -> Starved:
        """How a thread waits for memory in a domain that really has none to give."""
        self.zone(ZonePlan(2, 0, round_robin=False, hashed=False))
        cpu = self._cpu_of(domain, 0)
        answer = self._channel.ask(
            f"starve domain={domain} cpu={cpu} milliseconds={_STARVE_MS}", _STARVE_SECONDS
        )
        return read_starved(answer)

    def _starvable(self) -> int | None:
        """A domain that a thread can be starved in while others have memory; None: there is none.

        The last one: a sanitizer's shadow lies in the first.
        """
        return next(
            (d for d in reversed(range(1, self._domains)) if not self._empty >> d & 1), None
        )

    def _observed(self) -> Observation:
        answer = read_answer(self._channel.receive())
        seen = of_guest(answer, self._told, self._domains)
        self._told |= answer.changed
        return seen

    def _command(self, operation: Operation, number: int) -> str:
        """``number`` is the operation's in its trace, and an item's slot."""
        slot = operation.number if operation.verb is Verb.FREE else number
        if operation.verb is Verb.ALLOC and operation.place is Place.CPU:
            # Others stay on that CPU: to move takes longer than all else.
            self._cpu = self._cpu_of(operation.number, number)
        return command(operation, slot, self._cpu)

    def _cpu_of(self, domain: int, number: int) -> int:
        """One of the domain's CPUs, in turn; any, where it has none."""
        cpus = self._cpus[domain] or [0]
        return cpus[number % len(cpus)]

    def _make(self, order: Order) -> ProbeRecord:
        return self._channel.ask(str(order))

    def _sized(self, plan: ZonePlan) -> ProbeRecord:
        """A zone of the largest items of which so many go into a slab."""
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
        raise UsageError(
            f"the guest makes no zone with {plan.ipers} items a slab",
            remedy="replay a trace with fewer, or more, items a slab (ipers=)",
        )


def plan_of(shape: Shape) -> ZonePlan:
    """The zone that a shape describes."""
    return ZonePlan(shape.ipers, shape.reserve, not shape.first_touch, shape.hashed)


def explains(trace: Trace, seen: Sequence[Observation]) -> bool:
    """Whether the model in a trace's variant does just what a guest was seen to do."""
    if not is_taken(trace):
        return False
    player = Player(trace.variant, trace.shape)
    return all(
        not differences(of_model(player, player.play(operation)), each)
        for operation, each in zip(trace.operations, seen, strict=True)
    )


def is_taken(trace: Trace) -> bool:
    """Whether the model runs it to its end: nothing asserted against, nothing for ever."""
    try:
        steps = list(run_trace(trace))
    except (KernelAssertion, UsageError):
        return False
    return not any(step.outcome is not None and step.outcome.blocked for step in steps)
