"""Listens to one guest until it has ended, or is to be ended."""

from __future__ import annotations

import contextlib
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from harness.boot.hostwatch import HostWatch
from harness.console.parser import ConsoleParser
from harness.errors import InfraError
from harness.guest.backend import Guest, GuestEnding, GuestExit
from harness.guest.cputime import LOOK_SECONDS
from harness.guest.serialtap import Detached, Tap
from harness.outcome import Ending
from harness.watch import Limits, Watch

if TYPE_CHECKING:
    from harness.boot.guestclient import ClientSession
    from harness.boot.plan import BootPlan
    from harness.console.events import Event
    from harness.console.stages import Stage
    from harness.host.clock import Clock
    from harness.host.loglimits import LimitedLog
    from harness.host.progress import Progress
    from harness.verification import Evidence

#: Seconds between looks at the guest when it says nothing.
_TICK = 0.25

#: Of what lies in the console's socket when a limit is over or the host has failed, 64 KiB each.
_MOST_READS = 64

#: Seconds in which the rest of a console must come whose QEMU has ended.
_LAST_WORDS = 2.0

#: Seconds for a guest that stays up to print the second copy of its report.
_KEPT_FAREWELL = 0.25


class Terminal(Protocol):
    """Somebody who sits at the guest's console."""

    def attached(self, tap: Tap) -> AbstractContextManager[Tap]:
        """Connect them for as long as the context lasts.

        Reading from the tap that it gives raises ``Detached`` when they leave.
        """
        ...


class Cancelled(BaseException):
    """The user ended the run; like KeyboardInterrupt, nobody but the command handles it."""


@dataclass(slots=True)
class Heard:
    """What has come from the console so far, of a guest that starts in the stage ``first``."""

    first: Stage

    events: list[Event] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Session:
    """Listens to one guest.

    Args:
        clock: tells time.
        guest: whom it listens to.
        tap: the guest's console.
        sink: keeps the console's bytes, and counts them.
        plan: how it was booted.
        started: when it was started, in monotonic seconds.
        progress: told of the boot's stages.
        heard: gets what came from the console.
        cancelled: set when the user wants it all to end.
        evidence: what the guest's report is held against.
        attended: somebody sits at the console, and decides when it ends.
        client_session: who works with the guest once it has come up, and then decides.
    """

    clock: Clock
    guest: Guest
    tap: Tap
    sink: LimitedLog
    plan: BootPlan
    started: float
    progress: Progress
    heard: Heard
    cancelled: threading.Event
    evidence: Evidence
    attended: bool = False
    client_session: ClientSession | None = None
    _parser: ConsoleParser = field(default_factory=ConsoleParser)
    _host: HostWatch = field(init=False)

    def listen(self) -> Ending:
        """Until the guest has ended or is to be ended; says how.

        Limits are held against the time that the guest has had (``harness.guest.cputime``).

        Raises:
            InfraError: the host does not run the guest.
            Cancelled: the user ended it.
        """
        limits = Limits(factor=self.plan.slowness)
        if self.plan.keep:
            limits = replace(limits, farewell=_KEPT_FAREWELL)
        self._host = HostWatch(
            self.guest, self.clock, self.started, self.plan.accelerator,
            limits.silence * limits.factor, self.plan.limit,
        )  # fmt: skip
        watch = Watch(limits, 0.0, self.heard.first)
        self._enter(watch.stage)
        while True:
            now = self._host.time.look()
            stop = self._flood() or self._host_failure(watch) or self._decision(watch, now)
            if stop is not None and stop.by_time:
                stop = self._confirmed(watch)
            data = None
            try:
                data = self.tap.read(self._patience(watch, now)) if stop is None else None
            except Detached:
                stop = Ending.INTERRUPTED
            if self.cancelled.is_set():
                raise Cancelled
            if stop is not None:
                break
            if data:
                self._take(data, watch)
            elif data == b"" or self.guest.wait(0) is not None:
                return self._ended(watch)
        self._hear(self._parser.close(), watch)
        return stop

    def _confirmed(self, watch: Watch) -> Ending | None:
        """Whether a limit still stops the guest, once all is heard and QEMU reports that it runs.

        What was written meanwhile ends a silence, and does not make a stage shorter.
        """
        self._hear_pending(watch)
        stop = self._blame(self._host.confirm(), watch)
        self._hear_pending(watch)
        if self.guest.wait(0) is not None:
            return None
        return stop or self._decision(watch, self._host.time.monotonic())

    def _hear_pending(self, watch: Watch) -> None:
        """What lies in the console's socket, of a guest that may go on to write."""
        with contextlib.suppress(Detached):
            for _ in range(_MOST_READS):
                if not (data := self.tap.read(0)):
                    break
                self._take(data, watch)

    def _host_failure(self, watch: Watch) -> Ending | None:
        busy = self.client_session is not None and self.client_session.busy
        try:
            failure = self._host.failure(attended=self.attended, busy=busy)
        except InfraError as lost:  # who runs the guest
            failure = lost
        return self._blame(failure, watch)

    def _blame(self, failure: InfraError | None, watch: Watch) -> Ending | None:
        """The host's failure ends it all, unless the kernel has told its own trouble before."""
        if failure is None:
            return None
        self._hear_pending(watch)
        self._hear(self._parser.close(), watch)
        if not watch.in_trouble:
            raise failure
        return Ending.STOPPED

    def _decision(self, watch: Watch, now: float) -> Ending | None:
        """Whoever sits at the console decides themselves how long to wait for what."""
        if self.client_session is not None and watch.arrived:
            stop = self._accompany(self.client_session, watch)
        else:
            stop = None if self.attended else watch.decision(now)
        return stop or self._overdue(now)

    def _accompany(self, client_session: ClientSession, watch: Watch) -> Ending | None:
        """Let the client work with the guest, for as long as that takes."""
        if not client_session.begun:
            report = self.evidence.proven_report(self.heard.events)
            if report is not None:
                self.progress.stage("check")
                client_session.begin(report, self.progress, self._host.time)
        if client_session.busy:
            return None
        if client_session.begun:
            self._blame(self._host.confirm(), watch)
        return Ending.STOPPED

    def _patience(self, watch: Watch, now: float) -> float:
        if self.attended or self.client_session is not None:
            return _TICK
        return min(_TICK, max(LOOK_SECONDS, watch.deadline() - now))

    def _flood(self) -> Ending | None:
        return Ending.FLOOD if self.sink.flooded else None

    def _overdue(self, now: float) -> Ending | None:
        timeout = self.plan.timeout
        if timeout is not None and now >= timeout:
            return Ending.TIMEOUT
        longest = self.plan.longest
        if longest is not None and now >= longest:
            return Ending.DEADLINE
        return None

    def _take(self, data: bytes, watch: Watch) -> None:
        self.sink.write(data)
        self._hear(self._parser.feed(data), watch)

    def _hear(self, events: list[Event], watch: Watch) -> None:
        seconds = self.clock.monotonic() - self.started
        self.heard.events += events
        self.heard.times += [seconds] * len(events)
        self._host.heard()
        watch.observe(events, self._host.time.monotonic())
        self._enter(watch.stage)

    def _enter(self, stage: Stage) -> None:
        if stage.value not in self.heard.stages:
            seconds = self.clock.monotonic() - self.started
            self.heard.stages[stage.value] = round(seconds, 3)
            self.progress.stage(stage.value)

    def _ended(self, watch: Watch) -> Ending:
        """The guest has ended by itself: what it still had to say, and how it ended."""
        with contextlib.suppress(Detached):
            self._take_rest(watch)
        self._hear(self._parser.close(), watch)
        end = self.guest.wait(10.0)
        if end is not None and end.failure is not None and watch.in_trouble:
            return Ending.STOPPED
        if end is not None and end.ending is GuestEnding.LOST and watch.arrived:
            return Ending.STOPPED  # as if it had not been waited for
        return _ending(end, self.guest)

    def _take_rest(self, watch: Watch) -> None:
        """All up to the console's end, which comes later where a program stands in between."""
        until = self.clock.monotonic() + _LAST_WORDS
        while (left := until - self.clock.monotonic()) > 0:
            data = self.tap.read(left)
            if data == b"":
                return
            if data:
                self._take(data, watch)


def _ending(end: GuestExit | None, guest: Guest) -> Ending:
    if end is None:
        raise InfraError(
            "the guest's console was closed, but what runs the guest did not end",
            remedy="see what it wrote below",
            detail=guest.stderr_tail(),
        )
    if end.failure is not None:
        raise end.failure
    return Ending.EXITED if end.ending is GuestEnding.POWEROFF else Ending.RESET
