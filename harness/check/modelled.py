"""The common part of all subjects: pipelined commands, and comparison with the model."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar

from harness.check.subject import Differs, Trace

if TYPE_CHECKING:
    from harness.check.channel import Channel
    from harness.console.events import ProbeRecord
    from harness.console.report import GuestReport

T = TypeVar("T", bound=Trace)
Operation = TypeVar("Operation")
Seen = TypeVar("Seen")

#: Operations of one random trace.
TRACE_LENGTH: Final = 60
#: Random traces in which another variant must agree with a guest.
_CONFIRMING_TRACES: Final = 4


class Modelled(ABC, Generic[T, Operation, Seen]):
    """Base class of subjects.

    Args:
        channel: the open channel to the module.
        report: init's report.
        domains: the number of domains.
        done: called for each operation that agrees with the model.

    Attributes:
        setups: the number of setups, such as created zones.
    """

    def __init__(
        self, channel: Channel, report: GuestReport, domains: int, done: Callable[[], None]
    ) -> None:
        self._channel = channel
        self._report = report
        self._domains = domains
        self._done = done
        self._empty = sum(
            1 << domain for domain, memory in report.memory.items() if memory.pages == 0
        )
        self._cpus = {
            domain: sorted(cpu for cpu, home in report.cpus.items() if home == domain)
            for domain in range(domains)
        }
        self.setups = 0
        #: The random trace that was made last, and what the model has said of it already.
        self._foreseen: tuple[T, tuple[Seen, ...]] | None = None

    @abstractmethod
    def random_trace(self, rng: random.Random) -> T:
        """Set up a random trace in the guest, and return it; it depends on ``rng`` only."""

    @abstractmethod
    def discard(self) -> None:
        """Discard the last setup, which did not differ."""

    @abstractmethod
    def _held(self, trace: T) -> T | None:
        """Return the trace for this form of the model; None if the model does not accept it."""

    @abstractmethod
    def _model(self, trace: T) -> Callable[[Operation], Seen]:
        """Return a function that runs operations in a model set up for the trace."""

    @abstractmethod
    def _command(self, operation: Operation, number: int) -> str:
        """Return the command of an operation; ``number`` counts from 1."""

    @abstractmethod
    def _observed(self, answer: ProbeRecord, operation: Operation) -> Seen:
        """Return the result of an operation from the guest's answer."""

    @abstractmethod
    def _answer(self, expected: Seen, operation: Operation) -> str:
        """Return how the guest words a result, without the answer's number and checksum."""

    @abstractmethod
    def _differences(self, model: Seen, guest: Seen) -> tuple[str, ...]:
        """Return the differences of two results, a line for each."""

    @abstractmethod
    def _in_words(self, operation: Operation) -> str:
        """Return the operation's line in a trace."""

    @abstractmethod
    def _alternatives(self) -> Iterator[tuple[Self, str]]:
        """Generate subjects for the other variants of the model, with their names."""

    def run(self, trace: T) -> Differs | None:
        """Run the trace that was set up last; return the first difference, or None."""
        play = self._foreseen_or_played(trace)
        expected: deque[Seen] = deque()
        seen: list[Seen] = []
        ahead = enumerate(trace.operations, start=1)
        for place, operation in enumerate(trace.operations):
            room = self._channel.window - self._channel.outstanding
            if room * 2 >= self._channel.window:
                following = list(islice(ahead, room))
                expected.extend(play(each) for _, each in following)
                self._channel.send_all([self._command(each, number) for number, each in following])
            said = expected.popleft()
            answer = self._channel.receive_unless(self._answer(said, operation))
            seen.append(said if answer is None else self._observed(answer, operation))
            found = () if answer is None else self._differences(said, seen[-1])
            if found:
                self._channel.settle()
                return Differs(place, self._in_words(operation), found, tuple(seen))
            self._agreed(said)
            self._done()
        return None

    def _foreseen_or_played(self, trace: T) -> Callable[[Operation], Seen]:
        if self._foreseen is not None and trace is self._foreseen[0]:
            foreseen = iter(self._foreseen[1])
            return lambda _: next(foreseen)
        return self._model(trace)

    def _agreed(self, seen: Seen) -> None:
        """Take note of a result in which guest and model agree."""

    def alike(self, trace: T, found: Differs, seed: int) -> str:
        """Return the variant of the model that agrees with the guest; empty if there is none.

        A variant may agree in one trace by chance, so random traces are compared, too.
        """
        for other, words in self._alternatives():
            if other._explains(trace, found.seen) and other._agrees(seed):
                return words
        return ""

    def _explains(self, trace: T, seen: Sequence[Seen]) -> bool:
        """Return whether the model gives the guest's results for a trace."""
        held = self._held(trace)
        if held is None:
            return False
        play = self._model(held)
        return all(
            not self._differences(play(operation), each)
            for operation, each in zip(held.operations, seen, strict=True)
        )

    def _agrees(self, seed: int) -> bool:
        """Return whether guest and model agree in some random traces."""
        rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
        for _ in range(_CONFIRMING_TRACES):
            if self.run(self.random_trace(rng)) is not None:
                return False
            self.discard()
        return True

    def _cpu_of(self, domain: int, number: int) -> int:
        """Return one of the domain's CPUs, in turn; CPU 0 if the domain has none."""
        cpus = self._cpus[domain] or [0]
        return cpus[number % len(cpus)]
