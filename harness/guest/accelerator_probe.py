"""Runs the guest of ``images/accelprobe``, which checks an accelerator and measures it."""

from __future__ import annotations

import os
import select
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from harness.arch import GUEST
from harness.guest.qemu_argv import acceleration_options, machine_option

if TYPE_CHECKING:
    from harness.host.accelerator import Accelerator
    from harness.host.clock import Clock
    from harness.host.process import Process, Runner

BEGIN, END, EXCEPTION, ABSENT = "<", ">", "X", "-"

_STDERR_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Patience:
    """Time limits of the probe, in seconds.

    Args:
        start: from the start of QEMU to the guest's first output.
        run: from there to the guest's last check.
        end: from there to QEMU's exit.
    """

    start: float
    run: float
    end: float


@dataclass(frozen=True, slots=True)
class ProbeTrial:
    """Result of one run of the probe.

    Args:
        failure: empty if every result is right and QEMU exited.
        seconds: from the guest's first output to its last; None if it did not finish.
        start: seconds from QEMU's start to the guest's first output; None if there was none.
        overdue: whether it exceeded a limit.
    """

    failure: str
    seconds: float | None = None
    start: float | None = None
    overdue: bool = False


def probe_argv(accelerator: Accelerator, rom: Path) -> list[str | Path]:
    """Return QEMU's command line for the probe, with the CPU model that guests get."""
    return [
        GUEST.program, *acceleration_options(accelerator), "-machine", machine_option(sata=False),
        "-m", GUEST.probe.memory, "-smp", "2", "-nodefaults", "-no-user-config", "-display", "none",
        "-no-reboot", "-bios", rom, "-debugcon", "stdio",
    ]  # fmt: skip


def run_probe(
    accelerator: Accelerator, rom: Path, patience: Patience, runner: Runner, clock: Clock
) -> ProbeTrial:
    """Run the probe once; QEMU has exited when this returns.

    Raises:
        InfraError: QEMU is missing.
    """
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as output, tempfile.TemporaryFile() as stderr:
        try:
            argv = probe_argv(accelerator, rom)
            process = runner.spawn(argv, stdout=writer, stderr=stderr)
        finally:
            os.close(writer)
        try:
            listener = _Listener(output, process, clock)
            listener.listen(patience)
        finally:
            process.kill()
        said = _first_line(stderr)
    failure = listener.failure(patience)
    if failure and said:
        failure = f"{failure} ({said})"
    return ProbeTrial(failure, listener.seconds, listener.start, listener.overdue)


class _Listener:
    """Records the time of each byte on the debug console."""

    def __init__(self, output: IO[bytes], process: Process, clock: Clock) -> None:
        self._output = output
        self._process = process
        self._clock = clock
        self._started = clock.monotonic()
        self._text = ""
        self._status: int | None = None
        self._began: float | None = None
        self._finished: float | None = None
        self.overdue = False

    @property
    def start(self) -> float | None:
        return None if self._began is None else self._began - self._started

    @property
    def seconds(self) -> float | None:
        if self._began is None or self._finished is None:
            return None
        return self._finished - self._began

    def listen(self, patience: Patience) -> None:
        """Listen until QEMU exits or exceeds a limit."""
        while not self.overdue and self._take(self._left(patience)):
            pass
        if not self.overdue:
            # Its output is closed; it exits in a moment.
            self._status = self._process.wait(max(0.0, self._left(patience)))
            self.overdue = self._status is None

    def _left(self, patience: Patience) -> float:
        if self._began is None:
            until = self._started + patience.start
        elif self._finished is None:
            until = self._began + patience.run
        else:
            until = self._finished + patience.end
        return until - self._clock.monotonic()

    def _take(self, left: float) -> bool:
        """What has come within ``left`` seconds; whether there may be more."""
        if not select.select([self._output], [], [], max(0.0, left))[0]:
            self.overdue = True
            return False
        data = self._output.read(64)
        now = self._clock.monotonic()
        self._text += data.decode("ascii", "replace")
        if self._began is None and BEGIN in self._text:
            self._began = now
        if (
            self._finished is None
            and self._text.count(END)
            and len(self._text) > len(GUEST.probe.checks) + 1
        ):
            self._finished = now
        return bool(data)

    def failure(self, patience: Patience) -> str:
        if self._began is None:
            happened = self._ended(patience.start)
            return f"the probe {happened} before the guest began"
        letters = self._text.partition(BEGIN)[2].partition(END)[0]
        wrong = wrong_result(letters)
        if wrong:
            return wrong
        if self._finished is None:
            name = [*GUEST.probe.checks.values(), "its end"][len(letters)]
            return f"the probe {self._ended(patience.run)} at {name}"
        if self.overdue:
            return f"a triple fault did not end QEMU within {patience.end:.1f} s"
        return "" if self._status == 0 else f"QEMU ended with exit status {self._status}"

    def _ended(self, limit: float) -> str:
        if self.overdue:
            return f"was cut off after {limit:.1f} s"
        return f"ended with exit status {self._status}"


def wrong_result(letters: str) -> str:
    """Return the first wrong result in the guest's output; empty if there is none."""
    if len(letters) > len(GUEST.probe.checks):
        return "more results than checks"
    for letter, (check, name) in zip(letters, GUEST.probe.checks.items(), strict=False):
        if letter == EXCEPTION:
            return f"the guest got an exception at {name}"
        if letter == ABSENT and check in GUEST.probe.optional:
            continue
        if letter != check:
            return f"wrong result of {name}"
    return ""


def _first_line(stderr: IO[bytes]) -> str:
    text = os.pread(stderr.fileno(), _STDERR_BYTES, 0).decode("utf-8", "replace")
    lines = text.strip().replace(f"{GUEST.program}: ", "").splitlines()
    return next((line for line in lines if not line.startswith("warning: ")), "")
