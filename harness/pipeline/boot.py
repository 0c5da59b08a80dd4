"""One guest from start to verdict."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from harness.console.events import Event
from harness.console.parser import ConsoleParser
from harness.console.report import GuestReport
from harness.console.stages import Stage
from harness.console.symbolize import Symbolizer, find_program
from harness.errors import InfraError
from harness.guest.backend import Backend, Guest, GuestExit
from harness.guest.backend import Ending as GuestEnding
from harness.guest.firmware import find_firmware
from harness.guest.spec import GuestSpec
from harness.guest.tap import SerialTap
from harness.guest.topology import Topology
from harness.host.accelerator import Accelerator
from harness.host.clock import Clock
from harness.host.process import Runner
from harness.host.progress import Progress
from harness.host.workspace import Workspace, host_refused, make_folder, write_atomic
from harness.image.media import DirectKernel, Media
from harness.kernel.artifact import KernelArtifact
from harness.pipeline.agreement import report_of
from harness.pipeline.media import make_media
from harness.verdict import Ending, Limits, Stop, Until, Verdict, Watch, judge

#: How much longer everything takes without hardware help; a KASAN kernel that needs 2 s
#: under KVM was seen to need 13 to 20 s under TCG, and a busy host doubles that.
SLOWNESS = {Accelerator.KVM: 1.0, Accelerator.TCG: 4.0}

#: Seconds between looks at the guest when it says nothing.
_TICK = 0.25


class Cancelled(BaseException):
    """The user ended the run; like KeyboardInterrupt, nobody but the command handles it."""


@dataclass(frozen=True, slots=True)
class BootPlan:
    """How a guest is booted.

    Args:
        topology: its nodes.
        until: how far it must come.
        tunables: kernel environment, by name (see loader.conf(5)).
        accelerator: kvm or tcg.
        timeout: seconds for the whole boot; None leaves it to the stages' limits.
    """

    topology: Topology
    until: Until
    accelerator: Accelerator
    tunables: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Booted:
    """A boot that has ended.

    Args:
        verdict: what became of it, frames symbolised.
        stages: seconds from the guest's start to each stage's first event.
        report: what init said; None if it did not come to say all of it.
    """

    verdict: Verdict
    stages: Mapping[str, float]
    report: GuestReport | None


@dataclass(slots=True)
class _Heard:
    """What has come from the console so far."""

    events: list[Event] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Booter:
    """Boots guests on this host.

    Args:
        workspace: for images, sockets and scratch folders.
        runner: starts programs.
        clock: tells time.
        backend: starts guests.
        cancelled: set when the user wants it all to end.
    """

    workspace: Workspace
    runner: Runner
    clock: Clock
    backend: Backend
    cancelled: threading.Event = field(default_factory=threading.Event)

    def boot(
        self, name: str, kernel: KernelArtifact, plan: BootPlan, folder: Path, progress: Progress
    ) -> Booted:
        """Boot once and keep the console, its events and the command line in ``folder``.

        Raises:
            InfraError: the host could not run the guest.
            Cancelled: the user ended it.
        """
        make_folder(folder)
        progress.stage("image")
        with self.workspace.scratch("guest") as scratch, self._sockets(name) as console:
            media = make_media(kernel, plan.tunables, scratch, self.workspace, self.runner)
            spec = self._spec(name, media, plan, console)
            write_atomic(folder / f"guest.{self.backend.name}", self.backend.describe(spec))
            started = self.clock.monotonic()
            heard, ending = self._run(spec, plan, folder / "console.log", progress)
            seconds = self.clock.monotonic() - started
        progress.stage("verdict")
        verdict = self._judge(kernel, heard, ending, plan, seconds, _first_stage(media))
        _write_events(folder / "events.jsonl", heard)
        return Booted(verdict, heard.stages, report_of(heard.events))

    def describe(self, name: str, kernel: KernelArtifact, plan: BootPlan) -> str:
        """The exact command line or domain XML that ``boot`` would use."""
        with self.workspace.scratch("guest") as scratch, self._sockets(name) as console:
            media = make_media(kernel, plan.tunables, scratch, self.workspace, self.runner)
            return self.backend.describe(self._spec(name, media, plan, console))

    def _spec(self, name: str, media: Media, plan: BootPlan, console: Path) -> GuestSpec:
        return GuestSpec(
            name=name,
            topology=plan.topology,
            media=media,
            accelerator=plan.accelerator,
            firmware=None if isinstance(media, DirectKernel) else find_firmware(),
            console_socket=console,
        )

    @contextlib.contextmanager
    def _sockets(self, name: str) -> Iterator[Path]:
        """A short path for the guest's console; the socket goes with the guest."""
        make_folder(self.workspace.runtime)
        path = self.workspace.runtime / f"{name[-40:]}-{threading.get_ident() % 100000}.console"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _run(
        self, spec: GuestSpec, plan: BootPlan, log: Path, progress: Progress
    ) -> tuple[_Heard, Ending]:
        """Start the guest, listen until it ends or must be ended."""
        heard = _Heard()
        with SerialTap(spec.console_socket) as tap, _log_file(log) as sink:
            progress.stage("start")
            started = self.clock.monotonic()
            guest = self.backend.start(spec)
            try:
                session = _Session(self, guest, tap, sink, plan, started, progress, heard)
                ending = session.listen(_first_stage(spec.media))
            finally:
                guest.destroy()
        return heard, ending

    def _judge(
        self,
        kernel: KernelArtifact,
        heard: _Heard,
        ending: Ending,
        plan: BootPlan,
        seconds: float,
        first: Stage,
    ) -> Verdict:
        symbolizer = Symbolizer(
            self.runner, kernel.debug, find_program(), kernel.identity.source_roots
        )
        verdict = judge(
            heard.events, ending, plan.until, seconds=seconds, first_stage=first,
            function_at=symbolizer.function_at,
        )  # fmt: skip
        return replace(verdict, symbolized=symbolizer.symbolize(verdict.frames))


class _Session:
    """Listens to one guest."""

    def __init__(
        self,
        booter: Booter,
        guest: Guest,
        tap: SerialTap,
        sink: Callable[[bytes], None],
        plan: BootPlan,
        started: float,
        progress: Progress,
        heard: _Heard,
    ) -> None:
        self._booter = booter
        self._guest = guest
        self._tap = tap
        self._sink = sink
        self._plan = plan
        self._started = started
        self._progress = progress
        self._heard = heard
        self._parser = ConsoleParser()

    def listen(self, first: Stage) -> Ending:
        """Until the guest has ended or is to be ended; says how."""
        limits = Limits(factor=SLOWNESS[self._plan.accelerator])
        watch = Watch(limits, self._plan.until, self._started, first)
        self._enter(watch.stage)
        stop: Stop | None = None
        while stop is None:
            now = self._booter.clock.monotonic()
            stop = watch.decision(now) or self._overdue(now)
            data = None if stop else self._tap.read(min(_TICK, max(0.0, watch.deadline() - now)))
            if self._booter.cancelled.is_set():
                raise Cancelled
            if data:
                self._take(data, watch)
            elif stop is None and (data == b"" or self._guest.wait(0) is not None):
                break
        if stop is None:
            return self._ended(watch)
        self._hear(self._parser.close(), watch)
        return stop.ending

    def _overdue(self, now: float) -> Stop | None:
        timeout = self._plan.timeout
        if timeout is not None and now - self._started >= timeout:
            return Stop(Ending.DEADLINE, f"it took longer than {timeout:g} s")
        return None

    def _take(self, data: bytes, watch: Watch) -> None:
        self._sink(data)
        self._hear(self._parser.feed(data), watch)

    def _hear(self, events: list[Event], watch: Watch) -> None:
        now = self._booter.clock.monotonic()
        self._heard.events += events
        self._heard.times += [now - self._started] * len(events)
        watch.observe(events, now)
        self._enter(watch.stage)

    def _enter(self, stage: Stage) -> None:
        if stage.value not in self._heard.stages:
            seconds = self._booter.clock.monotonic() - self._started
            self._heard.stages[stage.value] = round(seconds, 3)
            self._progress.stage(stage.value)

    def _ended(self, watch: Watch) -> Ending:
        """The guest has ended by itself: what it still had to say, and how it ended."""
        while data := self._tap.read(0):
            self._take(data, watch)
        self._hear(self._parser.close(), watch)
        end = self._guest.wait(10.0)
        return _ending(end, self._guest)


def _ending(end: GuestExit | None, guest: Guest) -> Ending:
    if end is None:
        raise InfraError(
            "QEMU closed the guest's console but did not end",
            remedy="see what QEMU said below",
            detail=guest.stderr_tail(),
        )
    if end.ending is GuestEnding.CRASHED:
        raise InfraError(
            f"QEMU died (exit status {end.returncode})",
            remedy="see what QEMU said below; harness doctor tells what this host can do",
            detail=end.stderr,
        )
    return {
        GuestEnding.POWEROFF: Ending.EXITED,
        GuestEnding.RESET: Ending.RESET,
        GuestEnding.KILLED: Ending.INTERRUPTED,
    }[end.ending]


def _first_stage(media: Media) -> Stage:
    return Stage.KERNEL if isinstance(media, DirectKernel) else Stage.FIRMWARE


@contextlib.contextmanager
def _log_file(path: Path) -> Iterator[Callable[[bytes], None]]:
    """The console's bytes as they came."""
    with path.open("wb", buffering=0) as file:

        def write(data: bytes) -> None:
            try:
                file.write(data)
            except OSError as error:
                raise host_refused(path, error) from error

        yield write


def _write_events(path: Path, heard: _Heard) -> None:
    lines = (
        json.dumps({"seconds": round(at, 3), "event": type(event).__name__, **asdict(event)})
        for event, at in zip(heard.events, heard.times, strict=True)
    )
    write_atomic(path, "".join(f"{line}\n" for line in lines))
