"""Measures how much CPU time a guest could use: only that counts against its limits.

QEMU that is stopped, frozen, throttled or without a CPU does not run its guest, and a harness that
is not scheduled does not read its console. Silence during that time does not count. Time in which
QEMU's threads ran, or slept by choice, counts: a deadlocked guest halts its CPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from harness.host.clock import Clock
    from harness.host.procstat import Sample, Thread

LOOK_SECONDS: Final = 0.1
"""Least time between two samples of QEMU."""

MOST_COUNTED: Final = 0.5
"""Most seconds that count between two samples; the harness samples four times a second."""


_PATIENCE_FACTOR: Final = 19.0
_MOST_PATIENCE: Final = 1200.0


def patience(limit: float) -> float:
    """Return how many uncounted seconds end the wait for a limit of ``limit`` seconds."""
    return min(_PATIENCE_FACTOR * limit, _MOST_PATIENCE)


class Excuse(StrEnum):
    """Reason for which time does not count."""

    STOPPED = "QEMU was stopped (state T)"
    FROZEN = "QEMU's cgroup was frozen"
    THROTTLED = "QEMU's cgroup was throttled"
    STARVED = "QEMU's threads waited for a CPU or the disk"
    UNHEARD = "the harness itself did not run"


@dataclass(frozen=True, slots=True)
class Share:
    """The counted and uncounted time between two samples.

    Args:
        counted: seconds that count.
        excused: the other seconds, by main cause.
    """

    counted: float
    excused: Mapping[Excuse, float] = field(default_factory=dict)


def share_between(before: Sample, after: Sample) -> Share:
    """Return how much of the time between two samples counts.

    A guest's progress can depend on any thread of QEMU. While no thread waits for a CPU, all time
    counts; otherwise, the share in which none waits, taking the threads' waits as independent. The
    time in which the busiest thread ran always counts.
    """
    elapsed = after.at - before.at
    if elapsed <= 0:
        return Share(0.0)
    for excuse, applies in (
        (Excuse.STOPPED, before.stopped or after.stopped),
        (Excuse.FROZEN, before.frozen or after.frozen),
    ):
        if applies:
            return Share(0.0, {excuse: elapsed})
    throttled = min(1.0, max(0.0, after.throttled - before.throttled) / elapsed)
    free, busiest = 1.0, 0.0
    for number, now in after.threads.items():
        ran, waited = _thread_share(before.threads.get(number), now, elapsed)
        free *= 1.0 - waited
        busiest = max(busiest, ran)
    counted = elapsed * max(free * (1.0 - throttled), busiest)
    excuse = Excuse.THROTTLED if throttled > 1.0 - free else Excuse.STARVED
    return Share(counted, {excuse: elapsed - counted} if counted < elapsed else {})


def _thread_share(before: Thread | None, now: Thread, elapsed: float) -> tuple[float, float]:
    """Return which fractions of the time a thread ran, and waited for a CPU or the disk."""
    ran = min(1.0, max(0.0, now.ran - (before.ran if before else 0.0)) / elapsed)
    waited = max(0.0, now.waited - (before.waited if before else 0.0)) / elapsed
    if before is not None and before.state == now.state == "R":
        # It is waiting now: Linux adds that to the sum when the thread gets a CPU.
        waited = max(waited, 1.0 - ran)
    elif before is not None and before.state == now.state == "D":
        waited = 1.0
    return ran, min(1.0 - ran, waited)


class GuestTime:
    """The counted seconds since a guest started; a ``Clock`` for its limits.

    Args:
        clock: the host's.
        sample: samples QEMU; if it returns None, all time counts.
        started: start of the guest, in monotonic seconds of ``clock``.
    """

    def __init__(self, clock: Clock, sample: Callable[[], Sample | None], started: float) -> None:
        self._clock = clock
        self._sample = sample
        self._last = sample()
        self._looked = clock.monotonic()
        # QEMU's own start does not count.
        self._counted = min(self._looked - started, MOST_COUNTED)
        self._halted_since: float | None = None
        self.excused: dict[Excuse, float] = dict.fromkeys(Excuse, 0.0)

    def look(self) -> float:
        """Sample QEMU, if ``LOOK_SECONDS`` have passed; return the counted seconds."""
        now = self._clock.monotonic()
        elapsed = now - self._looked
        if elapsed < LOOK_SECONDS:
            return self._counted
        before, self._last = self._last, self._sample()
        self._looked = now
        share = Share(elapsed)
        if before is not None and self._last is not None:
            share = share_between(before, self._last)
        most = min(share.counted, MOST_COUNTED)
        self._counted += most
        self.excused[Excuse.UNHEARD] += share.counted - most
        for excuse, seconds in share.excused.items():
            self.excused[excuse] += seconds
        self._note_halt(now)
        return self._counted

    def _note_halt(self, now: float) -> None:
        if self._last is None or not (self._last.stopped or self._last.frozen):
            self._halted_since = None
        elif self._halted_since is None:
            self._halted_since = now

    @property
    def halted(self) -> float:
        """Seconds for which QEMU has been stopped or frozen, up to the last sample."""
        return 0.0 if self._halted_since is None else self._looked - self._halted_since

    @property
    def all_excused(self) -> float:
        """Seconds that did not count."""
        return sum(self.excused.values())

    def monotonic(self) -> float:
        """See ``Clock``: counted seconds, up to the last sample."""
        return self._counted

    def now(self) -> datetime:
        """See ``Clock``."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """See ``Clock``: seconds of the host."""
        self._clock.sleep(seconds)

    def figures(self) -> str:
        """Return the uncounted time by cause, as text."""
        parts = [f"{why} for {seconds:.1f} s" for why, seconds in self.excused.items() if seconds]
        return "; ".join(parts)
