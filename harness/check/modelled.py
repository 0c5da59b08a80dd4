"""What all subjects do alike: commands ahead of answers, the model before the guest."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
#: Commands that may be on their way; the guest answers them one by one.
_WINDOW: Final = 24
#: Random traces in which another form must agree with a guest that differs from its specification.
_CONFIRMING_TRACES: Final = 4


class Modelled(ABC, Generic[T, Operation, Seen]):
    """The part of a ``Subject`` that is the same whatever is modelled.

    Args:
        channel: to the module, open.
        report: what the guest said of its CPUs and memory.
        domains: how many it has.
        done: told of each operation that did what the model says.

    Attributes:
        setups: see ``Subject``.
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

    @abstractmethod
    def random_trace(self, rng: random.Random) -> T:
        """See ``Subject``."""

    @abstractmethod
    def discard(self) -> None:
        """See ``Subject``."""

    @abstractmethod
    def _held(self, trace: T) -> T | None:
        """The trace for the form that this is held to; None if the model does not take it."""

    @abstractmethod
    def _model(self, trace: T) -> Callable[[Operation], Seen]:
        """The model, set up as the trace says; plays one operation after the other."""

    @abstractmethod
    def _command(self, operation: Operation, number: int) -> str:
        """An operation as the guest is told it; ``number`` counts from 1."""

    @abstractmethod
    def _observed(self, answer: ProbeRecord, operation: Operation) -> Seen:
        """What an answer to an operation says."""

    @abstractmethod
    def _differences(self, model: Seen, guest: Seen) -> tuple[str, ...]:
        """Where they differ, a line each."""

    @abstractmethod
    def _in_words(self, operation: Operation) -> str:
        """The operation's line in a trace."""

    @abstractmethod
    def _alternatives(self) -> Iterator[tuple[Self, str]]:
        """The same guest held to each other form that the model knows, and that form in words."""

    def run(self, trace: T) -> Differs | None:
        """See ``Subject``."""
        play = self._model(trace)
        expected: deque[Seen] = deque()
        seen: list[Seen] = []
        ahead = enumerate(trace.operations, start=1)
        for place, operation in enumerate(trace.operations):
            for number, following in ahead:
                expected.append(play(following))
                self._channel.send(self._command(following, number))
                if self._channel.outstanding >= _WINDOW:
                    break
            seen.append(self._observed(self._channel.receive(), operation))
            found = self._differences(expected.popleft(), seen[-1])
            if found:
                self._channel.settle()
                return Differs(place, self._in_words(operation), found, tuple(seen))
            self._done()
        return None

    def alike(self, trace: T, found: Differs, seed: int) -> str:
        """See ``Subject``: the form that does what the guest did, if one does.

        One that explains the trace by chance does not agree with the guest for long, so it is
        held to random traces as well.
        """
        for other, words in self._alternatives():
            if other._explains(trace, found.seen) and other._agrees(seed):
                return words
        return ""

    def _explains(self, trace: T, seen: Sequence[Seen]) -> bool:
        """Whether the model does just what a guest was seen to do."""
        held = self._held(trace)
        if held is None:
            return False
        play = self._model(held)
        return all(
            not self._differences(play(operation), each)
            for operation, each in zip(held.operations, seen, strict=True)
        )

    def _agrees(self, seed: int) -> bool:
        """Whether the guest does what the model does, in some random traces."""
        rng = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        for _ in range(_CONFIRMING_TRACES):
            if self.run(self.random_trace(rng)) is not None:
                return False
            self.discard()
        return True

    def _cpu_of(self, domain: int, number: int) -> int:
        """One of the domain's CPUs, in turn; any, where it has none."""
        cpus = self._cpus[domain] or [0]
        return cpus[number % len(cpus)]
