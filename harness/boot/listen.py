"""Listens to one guest until it ends or is to be ended."""

from __future__ import annotations

import contextlib
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from harness.boot.hostwatch import HostWatch
from harness.console.events import ServiceReady
from harness.console.parser import ConsoleParser
from harness.errors import InfraError
from harness.guest.backend import Guest, GuestEnding, GuestExit
from harness.guest.cputime import LOOK_SECONDS
from harness.guest.serialtap import Detached, Tap
from harness.outcome import Ending
from harness.watch import Limits, Watch

if TYPE_CHECKING:
    from harness.boot.guestclient import ClientSession
    from harness.boot.panicstop import PanicStop
    from harness.boot.plan import BootPlan
    from harness.boot.snapshotuse import SnapshotUse
    from harness.console.events import Event
    from harness.console.stages import Stage
    from harness.host.clock import Clock
    from harness.host.loglimits import LimitedLog
    from harness.host.progress import Progress
    from harness.verification import Evidence

#: Seconds between samples of a silent guest.
_TICK = 0.25

#: Most reads, of 64 KiB each, of the console's socket after a limit or a host failure.
_MOST_READS = 64

#: Timeout of the rest of the console after QEMU has exited, in seconds.
_LAST_WORDS = 2.0

#: Seconds for a guest that stays up to print the second copy of its report.
_KEPT_FAREWELL = 0.25


#: Timeout from the start of init to that of sshd, in seconds on a fast accelerator. Under TCG on a
#: busy host, FreeBSD's own defaults take two minutes.
_WORLD_SECONDS = 180.0


#: Timeout of a restored guest's report, in seconds on a fast accelerator.
_RENEWAL_SECONDS = 15.0


class Terminal(Protocol):
    """A user's terminal at the guest's console."""

    def attached(self, tap: Tap) -> AbstractContextManager[Tap]:
        """Connect the terminal while the context lasts.

        Reading from the tap raises ``Detached`` when the user detaches.
        """
        ...


class Cancelled(BaseException):
    """The user interrupted the run; like KeyboardInterrupt, only the command handles it."""


@dataclass(slots=True)
class Heard:
    """The events of a console; its guest starts in the stage ``first``."""

    first: Stage

    events: list[Event] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Session:
    """Listens to one guest's console.

    Args:
        clock: measures time.
        guest: the guest.
        tap: its console.
        sink: logs the console's bytes and counts them.
        plan: how it was booted.
        started: its start, in monotonic seconds.
        progress: shows the boot's stages.
        heard: collects the console's events.
        cancelled: set when the user interrupts the command.
        evidence: the facts that the guest's report must match.
        attended: whether a user at the console decides when the guest ends.
        client_session: the client that uses the guest after it is up, and then decides.
        panic_stop: runs gdb where a panic begins.
        snapshot: what the guest is restored from, or saved as; None: it is only booted.
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
    panic_stop: PanicStop | None = None
    snapshot: SnapshotUse | None = None
    _parser: ConsoleParser = field(default_factory=ConsoleParser)
    _host: HostWatch = field(init=False)

    def listen(self) -> Ending:
        """Listen until the guest ends or is to be ended; return how.

        Limits apply to the time that counts for the guest (``harness.guest.cputime``).

        Raises:
            InfraError: the host does not run the guest.
            Cancelled: the user interrupted the run.
        """
        limits = self._limits()
        self._host = HostWatch(
            self.guest, self.clock, self.started, self.plan.accelerator,
            limits.silence * limits.factor, self.plan.limit,
        )  # fmt: skip
        watch = Watch(limits, 0.0, self.heard.first, world=self.plan.world is not None)
        self._enter(watch.stage)
        while True:
            now = self._host.time.look()
            if self.panic_stop is not None:
                self.panic_stop.look()
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

    def _limits(self) -> Limits:
        limits = Limits(factor=self.plan.slowness)
        if self.plan.keep:
            limits = replace(limits, farewell=_KEPT_FAREWELL)
        if self.snapshot is not None and self.snapshot.restores:
            return replace(limits, init=_RENEWAL_SECONDS)
        return limits if self.plan.world is None else replace(limits, init=_WORLD_SECONDS)

    def _confirmed(self, watch: Watch) -> Ending | None:
        """Return whether a limit still applies once all output is read and QEMU says it runs.

        New output ends a silence, but does not extend a stage.
        """
        self._hear_pending(watch)
        stop = self._blame(self._host.confirm(), watch)
        self._hear_pending(watch)
        if self.guest.wait(0) is not None:
            return None
        return stop or self._decision(watch, self._host.time.monotonic())

    def _hear_pending(self, watch: Watch) -> None:
        """Read the output in the console's socket; the guest may print more."""
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
        """Raise the host's failure, unless the kernel has reported a failure before."""
        if failure is None:
            return None
        self._hear_pending(watch)
        self._hear(self._parser.close(), watch)
        if not watch.in_failure:
            raise failure
        return Ending.STOPPED

    def _decision(self, watch: Watch, now: float) -> Ending | None:
        """Return the decision; a user at the console decides how long to wait."""
        if watch.arrived and not self._settled():
            return self._overdue(now)
        if self.client_session is not None and watch.arrived:
            stop = self._accompany(self.client_session, watch)
        else:
            stop = None if self.attended else watch.decision(now)
        return stop or self._overdue(now)

    def _settled(self) -> bool:
        """Return whether the guest, which is up, is proven, and saved if it is to be."""
        if self.snapshot is None or self.snapshot.done:
            return True
        if self.evidence.proven_report(self.heard.events) is None:
            return True
        self.snapshot.proceed(self.guest, self.heard.events, self.evidence.nonce)
        return self.snapshot.done

    def _accompany(self, client_session: ClientSession, watch: Watch) -> Ending | None:
        """Let the client use the guest until the client is done."""
        if client_session.asks_for_life():
            self.tap.write(b"\r")
        if not client_session.begun:
            report = self.evidence.proven_report(self.heard.events)
            if report is not None:
                client_session.begin(report, self.progress, self._host.time)
        if client_session.busy:
            return None
        if client_session.begun:
            self._blame(self._host.confirm(), watch)
            self._hear_pending(watch)
            if not watch.arrived or self.guest.wait(0) is not None:
                return None  # the client is done because the guest failed or ended
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
        if self.client_session is not None:
            self.client_session.console_printed()
        self._hear(self._parser.feed(data), watch)

    def _hear(self, events: list[Event], watch: Watch) -> None:
        seconds = self.clock.monotonic() - self.started
        nonce = self.evidence.nonce
        events = [x for x in events if not isinstance(x, ServiceReady) or x.nonce == nonce]
        self.heard.events += events
        self.heard.times += [seconds] * len(events)
        self._host.heard()
        watch.observe(events, self._host.time.monotonic())
        self._enter(watch.stage)

    def _enter(self, stage: Stage) -> None:
        if stage.value not in self.heard.stages:
            seconds = self.clock.monotonic() - self.started
            self.heard.stages[stage.value] = round(seconds, 3)
            used = self.guest.cpu_seconds()
            if used is not None:
                self.heard.cpu[stage.value] = round(used, 3)
            self.progress.stage(stage.value)

    def _ended(self, watch: Watch) -> Ending:
        """Read the rest of the console of a guest that ended by itself; return its end."""
        with contextlib.suppress(Detached):
            self._take_rest(watch)
        self._hear(self._parser.close(), watch)
        end = self.guest.wait(10.0)
        if end is not None and end.failure is not None and watch.in_failure:
            return Ending.STOPPED
        if end is not None and end.ending is GuestEnding.LOST and watch.arrived:
            return Ending.STOPPED  # as if the guest were still running
        return _ending(end, self.guest)

    def _take_rest(self, watch: Watch) -> None:
        """Read up to the console's end, which a program between QEMU and the harness can delay."""
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
            "the guest's console was closed, but its QEMU or console program still runs",
            remedy="its messages are below",
            detail=guest.stderr_tail(),
        )
    if end.failure is not None:
        raise end.failure
    return Ending.EXITED if end.ending is GuestEnding.POWEROFF else Ending.RESET
