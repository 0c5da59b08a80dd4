"""A host program in which traces are run one after the other, each in a copy of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from harness.check.channel import Channel, ChannelEnded, GuestGone, GuestSilent
from harness.check.protocol import Nonsense
from harness.onhost.ending import EndingKind, HostEnding
from harness.onhost.interleaving import Interleaving

if TYPE_CHECKING:
    from harness.check.subject import HuntedSubject, Trace
    from harness.console.report import GuestReport
    from harness.host.clock import Clock
    from harness.onhost.run import HostTap, ProgramRunner


def _uncounted() -> None:
    pass


@dataclass(slots=True)
class HuntedProgram:
    """A program, started when it is first needed; ended by its context.

    Args:
        hunted: makes the subject; see ``Specification``.
        runner: starts the program.
        clock: measures time.
        counted: called after each operation.
        interleaving: runs threads of traces by schedules.
    """

    hunted: Callable[[Channel, GuestReport, int, Callable[[], None]], HuntedSubject[Any]]
    runner: ProgramRunner
    clock: Clock
    counted: Callable[[], None] = _uncounted
    interleaving: Interleaving = field(default_factory=Interleaving)
    _held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _tap: HostTap | None = None
    _subject: HuntedSubject[Any] | None = None
    _exact: Trace | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self._held.close()
        self._tap, self._subject = None, None

    @contextlib.contextmanager
    def copied(self) -> Iterator[HuntedSubject[Any]]:
        """The subject in a copy of the program, which has done nothing yet.

        Raises:
            ChannelEnded: the copy ended; see ``ending``.
            Nonsense: its answers are invalid.
        """
        subject = self.subject()
        tap = self._tap
        if tap is None:
            raise GuestGone("the program has ended")
        tap.fork()
        subject.exact = None
        yield subject
        tap.join()

    def subject(self) -> HuntedSubject[Any]:
        """The subject in the program that runs, or in one that is started."""
        if self._tap is None:
            self._tap = self._held.enter_context(self.runner.started())
        if self._subject is None:
            channel = Channel(self._tap, self.clock, self.runner.limits.silence)
            channel.open()
            layout = self.runner.layout
            self._subject = self.hunted(channel, layout.report(), layout.domains, self.counted)
            tap, silence = self._tap, self.runner.limits.silence
            self.interleaving.tried = lambda commands: tap.tried(commands, silence)
            self._subject.interleaving = self.interleaving
        return self._subject

    def exact(self, trace: Trace | None) -> Trace | None:
        """The trace that ended a copy of the program, with the schedule of its threads; where a
        zone could not be made, the one that was begun; else the given one."""
        return trace if self._exact is None else self._exact

    def again(self, trace: Trace, *, closely: bool) -> HostEnding | None:
        """What a trace ends a copy of the program with; None for nothing.

        Args:
            trace: the trace.
            closely: look at all invariants after each operation.

        Raises:
            UsageError: the trace cannot be run in this program.
        """
        try:
            with self.copied() as subject:
                subject.run_again(trace, closely=closely)
        except (ChannelEnded, Nonsense) as ended:
            return self.ending(ended)
        return None

    def ending(self, ended: Exception) -> HostEnding:
        """How the copy has ended, or is ended for what it says or does not say."""
        tap = self._tap
        if tap is None:
            return HostEnding(EndingKind.EXITED)
        if isinstance(ended, GuestSilent):
            tap.end(EndingKind.LOOP, f"the host program has not answered: {ended}")
        elif not isinstance(ended, GuestGone):
            tap.end(EndingKind.EXITED, f"the host program answers nonsense: {ended}")
        ending = tap.ending or HostEnding(EndingKind.EXITED)
        self._exact = self._subject.exact if self._subject is not None else None
        self._subject = None  # with the commands that it has sent
        if not tap.resume():
            self._held.close()
            self._tap = None
        return ending
