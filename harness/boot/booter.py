"""Boots one guest, from its start to its verdict."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boot.guestclient import accompanied
from harness.boot.guestdir import GuestDir, kept_guest_dir, new_socket, temporary_guest_dir
from harness.boot.inspection import Inspection, evidence_of
from harness.boot.leaving import leave
from harness.boot.media import check_guest_memory, make_media, method_of
from harness.boot.restoring import (
    MOST_SNAPSHOTS,
    RENEW_TUNABLES,
    NotRestoredError,
    is_restorable,
)
from harness.boot.worldguest import Login, first_command, world_disks, world_tunables
from harness.debug.stub import stub_socket
from harness.errors import InfraError, UsageError
from harness.guest.devices import Network
from harness.guest.serialtap import CHANNEL_NAP_SECONDS, NAP_SECONDS
from harness.guest.spec import GuestSpec
from harness.host.accelerator import Accelerator
from harness.host.inuse import in_use
from harness.host.loglimits import USUAL_LIMITS, LimitedLog, LogLimits
from harness.host.staging import staged
from harness.host.workspace import Workspace, host_refused, make_directory, write_atomic
from harness.image.recipe import Payload
from harness.kernel.artifact import KernelArtifact, kept
from harness.kernel.verify import BootedFiles, ChangedFileError, KernelDamageError, private_copy
from harness.outcome import Outcome

if TYPE_CHECKING:
    from harness.boot.evaluation import Booted
    from harness.boot.listen import Terminal
    from harness.boot.panicstop import PanicStop
    from harness.boot.plan import BootPlan
    from harness.boot.snapshotuse import SnapshotUse
    from harness.debug.plan import PanicDebugger
    from harness.guest.backend import Backend
    from harness.guest.serialtap import SerialPort
    from harness.host.clock import Clock
    from harness.host.confinement import Identity
    from harness.host.process import Runner
    from harness.host.progress import Progress
    from harness.image.media import Media

#: Default kernel environment of a kept guest: a panic stops in the debugger, and neither the
#: harness's init nor the built-in guest powers off.
KEEP_TUNABLES = {"debug.debugger_on_panic": "1", "harness.keep": "1"}


@dataclass(frozen=True, slots=True)
class Booter:
    """Boots guests on this host.

    Args:
        workspace: holds images, sockets and scratch directories.
        runner: starts programs.
        clock: measures time.
        backend: starts guests.
        cancelled: set when the user interrupts the command.
        terminal: connects a terminal to the guest's console; its user decides when the guest ends.
        logs: limits of the console log.
        debugger: runs gdb where a panic begins, if a plan asks for it.
        most_snapshots: bytes of snapshots that the cache keeps.
    """

    workspace: Workspace
    runner: Runner
    clock: Clock
    backend: Backend
    cancelled: threading.Event = field(default_factory=threading.Event)
    terminal: Terminal | None = None
    logs: LogLimits = USUAL_LIMITS
    debugger: PanicDebugger | None = None
    most_snapshots: int = MOST_SNAPSHOTS

    def boot(
        self, name: str, kernel: KernelArtifact, plan: BootPlan, directory: Path, progress: Progress
    ) -> Booted:
        """Boot once and keep the console, its events and the command line in ``directory``.

        Raises:
            InfraError: the host could not run the guest.
            Cancelled: the user interrupted the command.
        """
        make_directory(directory)
        try:
            try:
                return self._boot(name, kernel, plan, directory, progress)
            except NotRestoredError as failure:
                progress.note(f"{name}: {failure}; the guest is booted, and saved again")
                return self._boot(name, kernel, plan, directory, progress, restore=False)
        except KernelDamageError as damage:
            # A second guest would not be the one that the user or a client worked with.
            met = isinstance(damage, ChangedFileError) and (plan.keep or plan.client)
            if met or kernel.remake is None:
                raise
            progress.note(f"{damage.message}; it is rebuilt and booted again")
            return self._boot(name, kernel.remake(progress), plan, directory, progress)

    def _boot(
        self, name: str, kernel: KernelArtifact, plan: BootPlan, directory: Path,
        progress: Progress, *, restore: bool = True,
    ) -> Booted:  # fmt: skip
        """Boot once; see ``boot``.

        Raises:
            NotRestoredError: there is a snapshot, which is removed, from which it cannot start.
        """
        progress.stage("image")
        self._check_method(kernel, plan)
        check_guest_memory(kernel.identity, plan.method, plan.topology)
        if plan.debug.dump:
            from harness.debug.memorydump import check_room

            check_room(directory, plan.topology.memory_mib)
        log = (directory / "console.log").resolve()
        nonce = new_nonce()
        world = in_use(plan.world.directory) if plan.world else nullcontext()
        attended = self.terminal is not None
        if not is_restorable(plan, self.backend, attended=attended):
            plan = replace(plan, snapshot=False)
        with (
            kept(kernel, self.workspace), world, self._place(name, kernel, plan, log) as place,
            contextlib.ExitStack() as held,
        ):  # fmt: skip
            copy = private_copy(kernel, place.directory / "kernel", self.workspace.verified)
            try:
                media = self._media(copy, plan, place, nonce)
            except UsageError as error:
                # Messages name the original, not the copy.
                message = error.message.replace(str(copy.kernel), str(kernel.kernel))
                raise UsageError(message, remedy=error.remedy, detail=error.detail) from error
            identity = self.backend.identity(plan.accelerator)
            media = media.at(staged(media.top, place.directory, identity))
            spec = self._spec(name, media, copy, plan, place, identity)
            write_atomic(directory / f"guest.{self.backend.name}", self.backend.describe(spec))
            use = None
            if plan.snapshot:
                use = held.enter_context(
                    self._snapshot(spec, copy, plan, progress, restore=restore)
                )
                spec = use.spec
            files = BootedFiles.of((kernel, copy), media.top)
            try:
                booted = self._run(spec, copy, plan, place, log, progress, nonce, use)
            except Exception:
                files.verify()  # such as symbols that cannot be read
                raise
            if booted.verdict.outcome is Outcome.BOOTED:
                files.verify_unchanged()
            else:
                files.verify()
            return booted

    def describe(self, name: str, kernel: KernelArtifact, plan: BootPlan) -> str:
        """Return a command line or domain XML that boots the guest without the harness.

        The console is on the terminal. The guest's media stay in the cache until the next such
        call for a guest of that name.

        Raises:
            UsageError: the kernel cannot be booted by this method.
            InfraError: the media cannot be created.
        """
        from harness.host.cachesize import DRY_RUNS

        check_guest_memory(kernel.identity, plan.method, plan.topology)
        plan = replace(plan, snapshot=False)
        directory = self.workspace.cache / DRY_RUNS / name
        with self.workspace.lock(DRY_RUNS):
            shutil.rmtree(directory, ignore_errors=True)
            make_directory(directory)
            copy = private_copy(kernel, directory / "kernel", self.workspace.verified)
            place = GuestDir(directory, new_socket(self.workspace, name))
            media = self._media(copy, plan, place, new_nonce())
        spec = self._spec(name, media, copy, plan, place)
        if plan.world is not None:
            spec = replace(spec, network=None)  # which is the harness's way in
        return self.backend.describe(replace(spec, standalone=True))

    def _place(
        self, name: str, kernel: KernelArtifact, plan: BootPlan, log: Path
    ) -> AbstractContextManager[GuestDir]:
        if not plan.keep:
            return temporary_guest_dir(self.workspace, name)
        from harness.guest.registry import KeptGuest, Registry

        guest = KeptGuest(
            name=name,
            run=log.parent.parent.name,
            cell=name,
            guest=kernel.identity.guest,
            kernel=kernel.identity.key,
            world=plan.world.identity.key if plan.world else "",
            backend=self.backend.name,
            nodes=len(plan.topology.nodes),
            topology=asdict(plan.topology),
            started=self.clock.now().isoformat(),
            console=log,
            socket=new_socket(self.workspace, name),
        )
        return kept_guest_dir(Registry(self.workspace, self.clock), guest)

    def _tunables(self, kernel: KernelArtifact, plan: BootPlan) -> dict[str, str]:
        return {
            **(RENEW_TUNABLES if plan.snapshot else {}),
            **(KEEP_TUNABLES if plan.keep else {}),
            **(plan.client.tunables if plan.client else {}),
            **plan.debug.tunables,
            **kernel.identity.sanitizer.tunables,
            **world_tunables(method_of(kernel.identity, plan.method), plan.world),
            **plan.tunables,
        }

    def _snapshot(
        self, spec: GuestSpec, kernel: KernelArtifact, plan: BootPlan, progress: Progress,
        *, restore: bool,
    ) -> AbstractContextManager[SnapshotUse]:  # fmt: skip
        """Return the use that the guest makes of its snapshot."""
        from harness.boot.snapshots import SnapshotCache, snapshot_key
        from harness.boot.snapshotuse import snapshot_use
        from harness.image.assemble import init_key

        more = (
            plan.world.identity.key if plan.world else "",
            init_key() if kernel.identity.is_freebsd else "",
            plan.client.module if plan.client else "",
            *plan.modules,
        )
        key = snapshot_key(spec, kernel, self._tunables(kernel, plan), more, self.backend)
        cache = SnapshotCache(self.workspace, self.most_snapshots)
        return snapshot_use(spec, key, cache, progress, restore=restore)

    def _media(self, kernel: KernelArtifact, plan: BootPlan, place: GuestDir, nonce: str) -> Media:
        module = kernel.modules.get(plan.client.module) if plan.client else None
        payload = Payload(self._tunables(kernel, plan), nonce, module, root=plan.world is None)
        return make_media(
            kernel, plan.method, payload, place.directory, self.workspace, self.runner
        )

    def _spec(
        self, name: str, media: Media, kernel: KernelArtifact, plan: BootPlan, place: GuestDir,
        identity: Identity | None = None,
    ) -> GuestSpec:  # fmt: skip
        return GuestSpec(
            name=name,
            topology=plan.topology,
            media=media,
            accelerator=plan.accelerator,
            firmware=self.backend.firmware(media),
            console_socket=place.socket,
            serial_sockets=(place.channel,) if plan.client or plan.snapshot else (),
            identity=identity,
            disks=world_disks(kernel, plan, place.directory, self.runner),
            network=Network() if plan.world else None,
        )

    def _run(
        self, spec: GuestSpec, kernel: KernelArtifact, plan: BootPlan, place: GuestDir, log: Path,
        progress: Progress, nonce: str, use: SnapshotUse | None,
    ) -> Booted:  # fmt: skip
        """Start the guest and listen until it ends or is left running; return the result."""
        stop = self._panic_stop(kernel, plan, place)
        clock = stop.clock if stop else self.clock
        login = Login(plan.world, first_command(kernel, plan))
        with (
            self._measured_again(plan),
            self.backend.open_port(place.socket, NAP_SECONDS) as tap,
            _log_file(log, self.logs) as sink,
            self._channel(spec) as channel,
            _attached(use, channel, clock, progress, plan.slowness, login),
            accompanied(plan.client, channel, login) as client_session,
        ):
            progress.stage("start")
            started = clock.monotonic()
            inspection = Inspection(spec, stop)
            guest = self.backend.start(spec, keep=plan.keep, inspect=inspection)
            ends = True
            if use is not None:
                use.begin(channel, nonce, clock)
            try:
                # These imports cost no time: the firmware runs meanwhile.
                from harness.boot import aftermath, evaluation, listen
                from harness.console.stages import Stage

                importlib.import_module("harness.results.text")  # which tells of it
                login.port = guest.forwarded_port() if plan.world else None
                evidence = evidence_of(kernel, nonce, inspection, self.backend.unproven)
                first = Stage.FIRMWARE if kernel.identity.is_freebsd else Stage.KERNEL
                heard = listen.Heard(Stage.INIT if use and use.restores else first)
                with self.terminal.attached(tap) if self.terminal else nullcontext(tap) as line:
                    session = listen.Session(
                        clock, guest, line, sink, plan, started, progress, heard,
                        self.cancelled, evidence, self.terminal is not None, client_session, stop,
                        use,
                    )  # fmt: skip
                    ending = session.listen()
                    if use is not None:
                        use.require_proven(ending)
                    seconds = clock.monotonic() - started
                    found = aftermath.Aftermath(
                        guest, line, plan, log.parent, clock, progress
                    ).findings(ending, heard.events, stop)
                ends = place.claim is None or not leave(
                    guest, tap, sink, place.claim, login.port or 0, self.logs, self.runner
                )
            except InfraError:
                # The first error is more useful than a failure to end the guest.
                ends = False
                with contextlib.suppress(InfraError):
                    guest.destroy()
                raise
            finally:
                if ends:
                    guest.destroy()
        progress.stage("verdict")
        booted = evaluation.evaluate(
            kernel, plan, heard, ending, seconds, log.parent, self.runner, evidence
        )
        restored = use.snapshot.key if use and use.snapshot else ""
        booted = replace(booted, debug=found, snapshot=restored)
        return evaluation.with_cut_console(booted, sink) if sink.dropped else booted

    def _panic_stop(
        self, kernel: KernelArtifact, plan: BootPlan, place: GuestDir
    ) -> PanicStop | None:
        if self.debugger is None or not plan.debug.at_panic:
            return None
        from harness.boot.panicstop import PanicStop

        module = plan.client.module if plan.client else ""
        return PanicStop.of(self.debugger, kernel, module, stub_socket(place.socket), self.clock)

    @contextlib.contextmanager
    def _measured_again(self, plan: BootPlan) -> Iterator[None]:
        """After a host failure under KVM, discard the cached choice of accelerator."""
        try:
            yield
        except InfraError:
            if plan.accelerator is Accelerator.KVM:
                from harness.guest.accelerator_choice import forget_accelerator

                forget_accelerator(self.workspace)
            raise

    def _channel(self, spec: GuestSpec) -> AbstractContextManager[SerialPort | None]:
        """Open the guest's second serial port, if it has one."""
        if not spec.serial_sockets:
            return nullcontext()
        return self.backend.open_port(spec.serial_sockets[0], CHANNEL_NAP_SECONDS)

    def _check_method(self, kernel: KernelArtifact, plan: BootPlan) -> None:
        method = method_of(kernel.identity, plan.method)
        if method not in self.backend.methods:
            raise UsageError(
                f"the machine cannot boot {kernel.identity.guest} by the method {method}",
                remedy=f"name one of its methods with --boot: {', '.join(self.backend.methods)}",
            )


def new_nonce() -> str:
    """Return 16 hexadecimal digits that identify this boot's report."""
    return os.urandom(8).hex()


@contextlib.contextmanager
def _log_file(path: Path, limits: LogLimits) -> Iterator[LimitedLog]:
    """Open the console log, bounded by ``limits``."""
    with path.open("wb", buffering=0) as file:
        yield LimitedLog(file.write, path, limits)
        try:
            os.fsync(file.fileno())  # before a record tells of it
        except OSError as error:
            raise host_refused(path, error) from error


def _attached(
    use: SnapshotUse | None, channel: SerialPort | None, clock: Clock, progress: Progress,
    slowness: float, login: Login,
) -> AbstractContextManager[None]:  # fmt: skip
    if use is None:
        return nullcontext()
    return use.attached(channel, clock, progress, slowness, login.warm_up)
