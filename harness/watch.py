"""While a guest runs: how long to wait for it, and when it has said what there is to wait for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.console import events as e
from harness.console.stages import Stage, stage_after
from harness.outcome import Ending, Until

#: The guest waits for input that does not come.
_WAITS_FOR_INPUT = (e.DebuggerPrompt, e.LoaderPrompt, e.FirmwareFailed, e.MountRootPrompt)


def reached(event: e.Event, until: Until) -> bool:
    """Whether ``event`` is what ``until`` waits for."""
    if until is Until.INIT:
        return isinstance(event, e.ReportComplete)
    return isinstance(event, e.MountRoot | e.MountRootPrompt | e.ReportComplete)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a guest may take, in seconds, on a fast accelerator.

    Each is multiplied by ``factor``. ``silence`` is the longest pause in the console; ``grace`` is
    what a guest in trouble gets to say the rest, ``farewell`` what one that has reached its goal
    gets to end by itself.
    """

    firmware: float = 60.0
    loader: float = 60.0
    kernel: float = 120.0
    cpus: float = 120.0
    devices: float = 180.0
    root: float = 60.0
    init: float = 60.0
    shutdown: float = 60.0
    silence: float = 60.0
    grace: float = 10.0
    farewell: float = 5.0
    factor: float = 1.0

    def of(self, stage: Stage) -> float:
        """The longest that ``stage`` may take, in seconds."""
        limits = {
            Stage.FIRMWARE: self.firmware,
            Stage.LOADER: self.loader,
            Stage.KERNEL: self.kernel,
            Stage.CPUS: self.cpus,
            Stage.DEVICES: self.devices,
            Stage.ROOT: self.root,
            Stage.INIT: self.init,
            Stage.SHUTDOWN: self.shutdown,
        }
        return limits[stage] * self.factor


class Watch:
    """Says, while a guest runs, until when to wait for it.

    Times are monotonic seconds, given by the caller; ``started`` is when the guest was started.
    However far it has to come, it is let go on to its init's report, which alone proves what it is.
    """

    def __init__(
        self,
        limits: Limits,
        started: float,
        first_stage: Stage = Stage.FIRMWARE,
    ) -> None:
        self.stage = first_stage
        self._limits = limits
        self._stage_since = started
        self._heard = started
        self._in_trouble = False
        self._arrived = False
        self._entered = first_stage.in_kernel
        self._parting: float | None = None
        self._stop: Ending | None = None

    @property
    def in_trouble(self) -> bool:
        """Whether the console has told a panic, a trap, or an exception of the firmware."""
        return self._in_trouble

    @property
    def arrived(self) -> bool:
        """Whether the guest's init has reported, and the guest is in no trouble."""
        return self._arrived and not self._in_trouble and self._stop is None

    def observe(self, events: Iterable[e.Event], now: float) -> None:
        """Bytes came at ``now``, and with them these events, which may be none."""
        self._heard = now
        for event in events:
            self._observe(event, now)

    def deadline(self) -> float:
        """The next moment at which ``decision`` may change without further bytes."""
        if self._stop:
            return self._heard
        instants = [self._silent_at(), self._stage_over_at()]
        return min([*instants, self._parting] if self._parting is not None else instants)

    def decision(self, now: float) -> Ending | None:
        """How to end the guest at ``now``; None means to go on."""
        if self._stop:
            return self._stop
        if self._parting is not None and now >= self._parting:
            return Ending.STOPPED
        if now >= self._silent_at():
            return Ending.SILENCE
        if now >= self._stage_over_at():
            return Ending.DEADLINE
        return None

    def _silent_at(self) -> float:
        return self._heard + self._limits.silence * self._limits.factor

    def _stage_over_at(self) -> float:
        return self._stage_since + self._limits.of(self.stage)

    def _observe(self, event: e.Event, now: float) -> None:
        self._advance(event, now)
        if isinstance(event, e.Panic | e.FatalTrap | e.FirmwareException):
            if not self._in_trouble:
                self._parting = now + self._limits.grace * self._limits.factor
            self._in_trouble = True
        elif (self._in_trouble and isinstance(event, e.Shutdown | e.DebuggerEntered)) or isinstance(
            event, _WAITS_FOR_INPUT
        ):
            self._end()
        elif reached(event, Until.INIT):
            self._reached(now)

    def _advance(self, event: e.Event, now: float) -> None:
        stage = stage_after(self.stage, event)
        if stage is not self.stage:
            self.stage, self._stage_since = stage, now
        if self._entered and isinstance(event, e.FirmwareStarted):
            self._end(Ending.RESET)
        self._entered = self._entered or stage.in_kernel

    def _reached(self, now: float) -> None:
        if self._in_trouble:
            return
        self._arrived = True
        if self._parting is None:
            self._parting = now + self._limits.farewell * self._limits.factor

    def _end(self, ending: Ending = Ending.STOPPED) -> None:
        self._stop = self._stop or ending
