"""A host program in which traces are run one after the other, each in a copy of its own.

It runs once for each machine that traces are for.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from harness.check.channel import Channel, ChannelEnded, GuestGone, GuestSilent
from harness.check.protocol import Nonsense
from harness.onhost.ending import EndingKind, HostEnding
from harness.onhost.intended import IntendedRaces
from harness.onhost.interleaving import Interleaving

if TYPE_CHECKING:
    from harness.check.subject import HuntedSubject, Trace
    from harness.console.report import GuestReport
    from harness.host.clock import Clock
    from harness.onhost.layout import HostLayout
    from harness.onhost.run import HostTap, ProgramRunner, Tried


def _uncounted() -> None:
    pass


@dataclass(slots=True)
class _Running:
    """A program that runs, and the subject in it."""

    tap: HostTap
    held: contextlib.ExitStack
    subject: HuntedSubject[Any] | None = None


@dataclass(slots=True)
class HuntedProgram:
    """A program, started for a machine when it is first needed there; ended by its context.

    Args:
        hunted: makes the subject; see ``Specification``.
        runner: starts the program.
        clock: measures time.
        counted: called after each operation.
        interleaving: runs threads of traces by schedules.
        intended: races that are no findings.

    Attributes:
        layout: the machine of the next traces; the runner's at first.
    """

    hunted: Callable[[Channel, GuestReport, int, Callable[[], None]], HuntedSubject[Any]]
    runner: ProgramRunner
    clock: Clock
    counted: Callable[[], None] = _uncounted
    interleaving: Interleaving = field(default_factory=Interleaving)
    intended: IntendedRaces = field(default_factory=IntendedRaces)
    layout: HostLayout = field(init=False)
    _quiet: set[int] = field(default_factory=set)
    _all: dict[HostLayout, _Running] = field(default_factory=dict)
    _exact: Trace | None = None

    def __post_init__(self) -> None:
        self.layout = self.runner.layout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        for layout in list(self._all):
            self._close(layout)

    def _close(self, layout: HostLayout) -> None:
        self._all.pop(layout).held.close()

    @contextlib.contextmanager
    def copied(self) -> Iterator[HuntedSubject[Any]]:
        """The subject in a copy of the program, which has done nothing yet.

        Raises:
            ChannelEnded: the copy ended; see ``ending``.
            Nonsense: its answers are invalid.
        """
        subject = self.subject()
        running = self._all.get(self.layout)
        if running is None:
            raise GuestGone("the program has ended")
        running.tap.quiet(self._quiet)
        running.tap.fork()
        subject.exact = None
        yield subject
        running.tap.join()

    def subject(self) -> HuntedSubject[Any]:
        """The subject in the program that runs on this machine, or in one that is started."""
        running = self._all.get(self.layout) or self._started()
        if running.subject is None:
            tap, silence = running.tap, self.runner.limits.silence
            channel = Channel(tap, self.clock, silence)
            channel.open()
            layout = self.layout
            running.subject = self.hunted(channel, layout.report(), layout.domains, self.counted)
            running.subject.interleaving = self.interleaving
        self.interleaving.tried = functools.partial(self._tried, running.tap)
        return running.subject

    def _tried(self, tap: HostTap, commands: Sequence[Sequence[str]]) -> Sequence[Tried]:
        """Run lists of commands, each in a copy; see ``HostTap.tried``."""
        silence = self.runner.limits.silence
        results = dict(enumerate(tap.tried(commands, silence)))
        again = self._raced(results)
        while again:
            tap.quiet(self._quiet)
            more = tap.tried([commands[place] for place in again], silence)
            results.update(zip(again, more, strict=True))
            again = self._raced(results)
        return list(results.values())

    def _raced(self, results: Mapping[int, Tried]) -> list[int]:
        """Return the places of copies that ended by a race that is intended."""
        return [place for place, each in results.items() if self.is_intended(each.ending)]

    def is_intended(self, ending: HostEnding | None) -> bool:
        """Return whether a program ended by a race that is intended; the next one will not."""
        accesses = () if ending is None else self.intended.of_ending(ending)
        self._quiet |= {access.returns for access in accesses}
        return bool(accesses)

    def _started(self) -> _Running:
        held = contextlib.ExitStack()
        runner = replace(self.runner, layout=self.layout)
        self._all[self.layout] = _Running(held.enter_context(runner.started()), held)
        return self._all[self.layout]

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
        ending = None
        try:
            with self.copied() as subject:
                subject.run_again(trace, closely=closely)
        except (ChannelEnded, Nonsense) as ended:
            ending = self.ending(ended)
        return self.again(trace, closely=closely) if self.is_intended(ending) else ending

    def ending(self, ended: Exception) -> HostEnding:
        """How the copy has ended, or is ended for what it says or does not say."""
        running = self._all.get(self.layout)
        if running is None:
            return HostEnding(EndingKind.EXITED)
        tap = running.tap
        if isinstance(ended, GuestSilent):
            tap.end(EndingKind.LOOP, f"the host program has not answered: {ended}")
        elif not isinstance(ended, GuestGone):
            tap.end(EndingKind.EXITED, f"the host program answers nonsense: {ended}")
        ending = tap.ending or HostEnding(EndingKind.EXITED)
        self._exact = running.subject.exact if running.subject is not None else None
        running.subject = None  # with the commands that it has sent
        if not tap.resume():
            self._close(self.layout)
        return ending
