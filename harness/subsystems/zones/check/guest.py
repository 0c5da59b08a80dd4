"""Zones of a guest or a host program, over its channel; the module looks at the invariants."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from harness.check.protocol import read_number
from harness.check.subject import Differs, Finding
from harness.errors import UsageError
from harness.subsystems.zones.generate import Generator
from harness.subsystems.zones.operations import in_words, with_cpus
from harness.subsystems.zones.simpler import simpler
from harness.subsystems.zones.trace import Trace, ZoneLayout, shape

if TYPE_CHECKING:
    from harness.check.channel import Channel
    from harness.console.events import ProbeRecord
    from harness.console.report import GuestReport

#: Characters of operations in one command, of which the module takes 1024.
_ROOM: Final = 900
#: Commands without an answer.
_WINDOW: Final = 16
#: The slab allocator stops refusing at this call of one operation.
_PATIENCE: Final = 40


class CheckedZones:
    """See ``harness.check.subject.Subject``; a check without a model.

    Args:
        channel: the open channel to the module.
        report: init's.
        domains: the number of domains.
        done: called for each operation after which no invariant is broken.

    Attributes:
        setups: number of traces whose zones were created.
        left_out: invariants that random traces do not look at.
    """

    #: Whether it takes traces whose threads run by a schedule, or are preempted.
    runs_threads = False

    def __init__(
        self, channel: Channel, report: GuestReport, domains: int, done: Callable[[], None]
    ) -> None:
        self._channel = channel
        self._done = done
        empty = frozenset(each for each, memory in report.memory.items() if memory.pages == 0)
        cpus = tuple(report.cpus[cpu] for cpu in sorted(report.cpus))
        self.machine = ZoneLayout(cpus, domains, empty)
        self.setups = 0
        self.left_out: tuple[str, ...] = ()
        self._given: Trace | None = None

    def random_trace(self, rng: random.Random) -> Trace:
        """See ``Subject``."""
        trace = replace(self._generated(rng), left_out=self.left_out)
        self._make(trace)
        return trace

    def _generated(self, rng: random.Random) -> Trace:
        return Generator(rng, self.machine, preempts=self.runs_threads).trace()

    def given_trace(self, trace: Trace) -> Trace:
        """See ``Subject``: its CPUs become those of the guest, domain by domain."""
        if trace.is_concurrent and not self.runs_threads:
            raise UsageError(
                "the trace has threads, and a guest cannot run them by a schedule",
                remedy="run it in a host program: --on host",
            )
        if trace.has_gaps and not self.runs_threads:
            raise UsageError(
                "the trace preempts a thread, and a guest cannot do that where it says",
                remedy="run it in a host program: --on host",
            )
        here, there = self.machine, trace.machine
        if here.domains < there.domains:
            raise UsageError(
                f"the trace is for {there.domains} domains, the guest has {here.domains}",
                remedy=f"give the guest as many: --numa {there.domains}, or a --vm that has them",
            )
        cpus = there.cpus_in(here)
        try:
            moved = tuple(with_cpus(operation, cpus) for operation in trace.operations)
        except KeyError as error:
            raise UsageError(
                f"the trace runs on CPU {error}, of which the guest has none in that domain",
                remedy="give the guest's domains as many CPUs: --vm",
            ) from error
        trace = replace(trace, machine=here, operations=moved)
        self._make(trace)
        self._given = trace
        return trace

    def run(self, trace: Trace) -> Differs | None:
        """See ``Subject``: a command has as many operations as its line holds.

        In a given trace, it has one.
        """
        if trace is self._given:
            return self.run_closely(trace)
        found = self._run(trace, lines(trace.alone))
        return found if found is not None else self._finished(trace, "end")

    def run_closely(self, trace: Trace) -> Differs | None:
        """The same; all invariants are looked at after each operation."""
        found = self._run(trace, ((each,) for each in trace.alone))
        return found if found is not None else self._finished(trace, "end closely=1")

    def run_again(self, trace: Trace, *, closely: bool = True) -> Differs | None:
        """See ``HuntedSubject``."""
        self._make(trace)
        return self.run_closely(trace) if closely else self.run(trace)

    def simpler(self, trace: Trace) -> Iterator[Trace]:
        """See ``HuntedSubject``."""
        return simpler(trace)

    def shape(self, trace: Trace) -> frozenset[str]:
        """See ``HuntedSubject``."""
        return shape(trace)

    def discard(self) -> None:
        """See ``Subject``: there is nothing to do, as the end of a trace frees everything."""

    def alike(self, trace: Trace, found: Differs, seed: int) -> str:
        """See ``Subject``: there are no other forms."""
        return ""

    def beside(self) -> Finding:
        """See ``Subject``."""
        return Finding()

    def _finished(self, trace: Trace, command: str) -> Differs | None:
        """Run what follows the operations that run alone."""
        return self._ended(trace, command)

    def _ended(self, trace: Trace, command: str) -> Differs | None:
        """Free and destroy everything; return the broken invariant."""
        broken = _broken(self._channel.ask(command))
        if not broken:
            return None
        last = in_words(trace.operations[-1]) if trace.operations else "end"
        return Differs(max(len(trace) - 1, 0), last, (broken,))

    def _make(self, trace: Trace) -> None:
        without = f" without={','.join(trace.left_out)}" if trace.left_out else ""
        self._channel.send(f"zones patience={_PATIENCE}{without}")
        for place, zone in enumerate(trace.zones):
            self._channel.send(zone.command(place))
        for _ in range(len(trace.zones) + 1):
            self._channel.receive()
        self.setups += 1

    def _run(self, trace: Trace, parts: Iterator[Sequence[str]]) -> Differs | None:
        place = 0
        waiting: list[int] = []
        ended = False
        while waiting or not ended:
            while not ended and len(waiting) < _WINDOW:
                line = next(parts, None)
                if line is None:
                    ended = True
                else:
                    self._channel.send(f"run ops={'/'.join(line)}")
                    waiting.append(len(line))
            if not waiting:
                break
            found, record = waiting.pop(0), self._channel.receive()
            broken = _broken(record)
            if broken:
                before = min(max(read_number(record, "count") - 1, 0), found - 1)
                place += before
                for _ in range(before):
                    self._done()
                self._channel.settle()
                return Differs(place, in_words(trace.operations[place]), (broken,))
            place += found
            for _ in range(found):
                self._done()
        return None


def _broken(record: ProbeRecord) -> str:
    """Return the broken invariant that an answer names; empty if none is."""
    return dict(record.fields).get("broken", "").replace("+", " ")


def lines(operations: Sequence[str]) -> Iterator[Sequence[str]]:
    """Generate parts that each fit into a command."""
    part: list[str] = []
    room = _ROOM
    for operation in operations:
        room -= len(operation) + 1
        if room < 0:
            yield part
            part, room = [], _ROOM - len(operation) - 1
        part.append(operation)
    if part:
        yield part
