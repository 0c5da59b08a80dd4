"""One guest from start to verdict."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

from harness.console.events import Event
from harness.console.parser import ConsoleParser
from harness.console.report import GuestReport
from harness.console.stages import Stage
from harness.console.symbolize import Symbolizer, find_program
from harness.errors import InfraError
from harness.guest.backend import Backend, Guest, GuestExit
from harness.guest.backend import Ending as GuestEnding
from harness.guest.firmware import find_firmware
from harness.guest.registry import Claim, KeptGuest, Registry
from harness.guest.relay import relay_argv
from harness.guest.spec import GuestSpec
from harness.guest.tap import Detached, SerialTap, Tap
from harness.guest.topology import Topology
from harness.host.accelerator import Accelerator
from harness.host.clock import Clock
from harness.host.process import Runner
from harness.host.progress import Progress
from harness.host.workspace import Workspace, host_refused, make_folder, write_atomic
from harness.image.media import DirectKernel, Media
from harness.kernel.artifact import KernelArtifact, kept
from harness.pipeline.agreement import disagreements, report_of
from harness.pipeline.kernels import guest_in_words
from harness.pipeline.media import make_media
from harness.pipeline.place import Place, lasting_place, new_socket, passing_place
from harness.verdict import Ending, Limits, Stop, Until, Verdict, Watch, judge

#: How much longer everything takes without hardware help; a KASAN kernel that needs 2 s
#: under KVM was seen to need 13 to 20 s under TCG, and a busy host doubles that.
SLOWNESS = {Accelerator.KVM: 1.0, Accelerator.TCG: 4.0}

#: Seconds between looks at the guest when it says nothing.
_TICK = 0.25


#: Seconds for a guest that stays up to print the second copy of its report.
_KEPT_FAREWELL = 0.25

#: Kernel environment of a guest that is kept, unless the user says otherwise: a panic stops in the
#: debugger, and neither our init nor the built-in guest ends the machine.
KEEP_TUNABLES = {"debug.debugger_on_panic": "1", "harness.keep": "1"}


class Terminal(Protocol):
    """Somebody who sits at the guest's console."""

    def attached(self, tap: Tap) -> AbstractContextManager[Tap]:
        """Connect them for as long as the context lasts.

        Reading from the tap that it gives raises ``Detached`` when they leave.
        """
        ...


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
        keep: leave the guest running after its verdict, stopped in the debugger if it panicked.
    """

    topology: Topology
    until: Until
    accelerator: Accelerator
    tunables: Mapping[str, str] = field(default_factory=dict)
    timeout: float | None = None
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Booted:
    """A boot that has ended.

    Args:
        verdict: what became of it, frames symbolised.
        stages: seconds from the guest's start to each stage's first event.
        report: what init said; None if it did not come to say all of it.
        disagreements: where the guest does not see the machine that it was given.
    """

    verdict: Verdict
    stages: Mapping[str, float]
    report: GuestReport | None
    disagreements: tuple[str, ...]


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
        terminal: connects somebody to the guest's console, who then decides when it ends.
    """

    workspace: Workspace
    runner: Runner
    clock: Clock
    backend: Backend
    cancelled: threading.Event = field(default_factory=threading.Event)
    terminal: Terminal | None = None

    def boot(
        self, name: str, kernel: KernelArtifact, plan: BootPlan, folder: Path, progress: Progress
    ) -> Booted:
        """Boot once and keep the console, its events and the command line in ``folder``.

        Raises:
            InfraError: the host could not run the guest.
            Cancelled: the user ended it.
        """
        make_folder(folder)
        with kept(kernel, self.workspace):
            return self._boot(name, kernel, plan, folder, progress)

    def _boot(
        self, name: str, kernel: KernelArtifact, plan: BootPlan, folder: Path, progress: Progress
    ) -> Booted:
        progress.stage("image")
        log = (folder / "console.log").resolve()
        with self._place(name, kernel, plan, log) as place:
            media = self._media(kernel, plan, place)
            spec = self._spec(name, media, plan, place)
            write_atomic(folder / f"guest.{self.backend.name}", self.backend.describe(spec))
            started = self.clock.monotonic()
            heard, ending = self._run(spec, plan, place, log, progress)
            seconds = self.clock.monotonic() - started
        progress.stage("verdict")
        verdict = self._judge(kernel, heard, ending, plan, seconds, _first_stage(media))
        _write_events(folder / "events.jsonl", heard)
        report, wrong = report_of(heard.events)
        if report is not None:
            wrong = disagreements(plan.topology, report)
        return Booted(verdict, heard.stages, report, wrong)

    def describe(self, name: str, kernel: KernelArtifact, plan: BootPlan) -> str:
        """The exact command line or domain XML that ``boot`` would use."""
        with passing_place(self.workspace, name) as place:
            media = self._media(kernel, plan, place)
            return self.backend.describe(self._spec(name, media, plan, place))

    def _place(
        self, name: str, kernel: KernelArtifact, plan: BootPlan, log: Path
    ) -> AbstractContextManager[Place]:
        if not plan.keep:
            return passing_place(self.workspace, name)
        guest = KeptGuest(
            name=name,
            run=log.parent.parent.name,
            cell=name,
            guest=guest_in_words(kernel.identity),
            backend=self.backend.name,
            nodes=len(plan.topology.nodes),
            topology=asdict(plan.topology),
            started=self.clock.now().isoformat(),
            console=log,
            socket=new_socket(self.workspace, name),
        )
        return lasting_place(Registry(self.workspace, self.clock), guest)

    def _media(self, kernel: KernelArtifact, plan: BootPlan, place: Place) -> Media:
        tunables = {**(KEEP_TUNABLES if plan.keep else {}), **plan.tunables}
        return make_media(kernel, tunables, place.folder, self.workspace, self.runner)

    def _spec(self, name: str, media: Media, plan: BootPlan, place: Place) -> GuestSpec:
        return GuestSpec(
            name=name,
            topology=plan.topology,
            media=media,
            accelerator=plan.accelerator,
            firmware=None if isinstance(media, DirectKernel) else find_firmware(),
            console_socket=place.socket,
        )

    def _run(
        self, spec: GuestSpec, plan: BootPlan, place: Place, log: Path, progress: Progress
    ) -> tuple[_Heard, Ending]:
        """Start the guest, listen until it ends or must be ended, or is to be left."""
        heard = _Heard()
        with SerialTap(place.socket) as tap, _log_file(log) as sink:
            progress.stage("start")
            started = self.clock.monotonic()
            guest = self.backend.start(spec, keep=plan.keep)
            left = False
            try:
                with self.terminal.attached(tap) if self.terminal else nullcontext(tap) as line:
                    session = _Session(self, guest, line, sink, plan, started, progress, heard)
                    ending = session.listen(_first_stage(spec.media))
                left = place.claim is not None and self._leave(guest, tap, place.claim)
            finally:
                if not left:
                    guest.destroy()
        return heard, ending

    def _leave(self, guest: Guest, tap: SerialTap, claim: Claim) -> bool:
        """Let the guest run on without us, with a relay at its console; False if it has ended."""
        where, console = guest.leave(), tap.fileno()
        if where is None or console is None:
            return False
        words = relay_argv(console, claim.guest.console, claim.guest.entrance)
        self.runner.spawn(words, pass_fds=[console], outlives_us=True)
        claim.keep(where)
        return True

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
        tap: Tap,
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
        if self._plan.keep:
            limits = replace(limits, farewell=_KEPT_FAREWELL)
        watch = Watch(limits, self._plan.until, self._started, first)
        self._enter(watch.stage)
        stop: Stop | None = None
        while stop is None:
            now = self._booter.clock.monotonic()
            stop = self._decision(watch, now)
            try:
                data = None if stop else self._tap.read(self._patience(watch, now))
            except Detached:
                data, stop = None, Stop(Ending.INTERRUPTED, "whoever sat at its console left")
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

    def _decision(self, watch: Watch, now: float) -> Stop | None:
        """Whoever sits at the console decides themselves how long to wait for what."""
        stop = None if self._booter.terminal else watch.decision(now)
        return stop or self._overdue(now)

    def _patience(self, watch: Watch, now: float) -> float:
        if self._booter.terminal:
            return _TICK
        return min(_TICK, max(0.0, watch.deadline() - now))

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
        with contextlib.suppress(Detached):
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
