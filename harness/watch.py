"""Limits of a running guest: how long to wait, and when its output is complete. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.console import events as e
from harness.console.stages import Stage, stage_after
from harness.outcome import Ending, Until

#: The guest waits for input that does not come.
_WAITS_FOR_INPUT = (e.DebuggerPrompt, e.LoaderPrompt, e.FirmwareFailed, e.MountRootPrompt)


def reached(event: e.Event, until: Until) -> bool:
    """Return whether ``event`` shows that the goal is reached."""
    match until:
        case Until.INIT:
            return isinstance(event, e.ReportComplete)
        case Until.SSH:
            return isinstance(event, e.ServiceReady) and event.service == "ssh"
        case Until.MOUNTROOT:
            return isinstance(event, e.MountRoot | e.MountRootPrompt | e.ReportComplete)


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of a guest in seconds, on a fast accelerator.

    Each is multiplied by ``factor``. ``silence`` is the longest pause of the console. ``grace`` is
    the time for further output after a failure; ``farewell`` is the time to power off after the
    goal was reached.
    """

    firmware: float = 60.0
    loader: float = 60.0
    kernel: float = 120.0
    cpus: float = 120.0
    devices: float = 180.0
    root: float = 60.0
    init: float = 60.0
    ssh: float = 60.0
    shutdown: float = 60.0
    silence: float = 60.0
    grace: float = 10.0
    farewell: float = 5.0
    factor: float = 1.0

    def of(self, stage: Stage) -> float:
        """Return the limit of a stage in seconds."""
        limits = {
            Stage.FIRMWARE: self.firmware,
            Stage.LOADER: self.loader,
            Stage.KERNEL: self.kernel,
            Stage.CPUS: self.cpus,
            Stage.DEVICES: self.devices,
            Stage.ROOT: self.root,
            Stage.INIT: self.init,
            Stage.SSH: self.ssh,
            Stage.SHUTDOWN: self.shutdown,
        }
        return limits[stage] * self.factor


class Watch:
    """Decides how long a running guest is waited for.

    Times are monotonic seconds, passed by the caller; ``started`` is the start of the guest. With
    every goal, init's report is waited for, because it verifies the boot; a guest with ``world``
    is waited for until its services are up.
    """

    def __init__(
        self,
        limits: Limits,
        started: float,
        first_stage: Stage = Stage.FIRMWARE,
        *,
        world: bool = False,
    ) -> None:
        self.stage = first_stage
        self._goal = Until.SSH if world else Until.INIT
        self._limits = limits
        self._stage_since = started
        self._last_output = started
        self._in_trouble = False
        self._arrived = False
        self._entered = first_stage.in_kernel
        self._end_at: float | None = None
        self._stop: Ending | None = None

    @property
    def in_failure(self) -> bool:
        """Whether the console shows a panic, a trap or an exception of the firmware."""
        return self._in_trouble

    @property
    def arrived(self) -> bool:
        """Whether what is waited for has come, and the guest has not failed."""
        return self._arrived and not self._in_trouble and self._stop is None

    def observe(self, events: Iterable[e.Event], now: float) -> None:
        """Note that the console printed at ``now``, with the events of this output, if any."""
        self._last_output = now
        for event in events:
            self._observe(event, now)

    def deadline(self) -> float:
        """Return the next time at which ``decision`` may change without further output."""
        if self._stop:
            return self._last_output
        instants = [self._silent_at(), self._stage_over_at()]
        return min([*instants, self._end_at] if self._end_at is not None else instants)

    def decision(self, now: float) -> Ending | None:
        """Return how to end the guest at ``now``; None: continue."""
        if self._stop:
            return self._stop
        if self._end_at is not None and now >= self._end_at:
            return Ending.STOPPED
        if now >= self._silent_at():
            return Ending.SILENCE
        if now >= self._stage_over_at():
            return Ending.DEADLINE
        return None

    def _silent_at(self) -> float:
        return self._last_output + self._limits.silence * self._limits.factor

    def _stage_over_at(self) -> float:
        return self._stage_since + self._limits.of(self.stage)

    def _observe(self, event: e.Event, now: float) -> None:
        self._advance(event, now)
        if isinstance(event, e.Panic | e.FatalTrap | e.FirmwareException):
            if not self._in_trouble:
                self._end_at = now + self._limits.grace * self._limits.factor
            self._in_trouble = True
        elif (self._in_trouble and isinstance(event, e.Shutdown | e.DebuggerEntered)) or isinstance(
            event, _WAITS_FOR_INPUT
        ):
            self._end()
        elif reached(event, self._goal):
            self._reached(now)
        elif isinstance(event, e.ServiceReady):
            self._end()  # without the service that is waited for

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
        if self._end_at is None:
            # A world does not power off by itself.
            farewell = 0.0 if self._goal is Until.SSH else self._limits.farewell
            self._end_at = now + farewell * self._limits.factor

    def _end(self, ending: Ending = Ending.STOPPED) -> None:
        self._stop = self._stop or ending
