"""What commands that boot have in common: from options to cells, from cells to a record."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import __version__
from harness.boot.booter import Booter
from harness.boot.plan import BootPlan
from harness.cli.options import parse_tunables
from harness.cli.progress import LiveRows
from harness.errors import HarnessError, InfraError, UsageError, given_with
from harness.guest.backends import BackendHost, backend_values, find_backend
from harness.guest.memory import available_memory
from harness.guest.shadow import default_topology, memory_warnings
from harness.guest.topology import Node, Topology, parse_node_counts
from harness.host.accelerator import Accelerator
from harness.host.processid import ProcessId
from harness.host.workspace import check_folder
from harness.image.media import BootMethod
from harness.outcome import Until
from harness.results.store import Store
from harness.results.unfinished import Planned, beginning, ended_early
from harness.runs.matrix import Matrix
from harness.source.change import Change
from harness.source.what import What

if TYPE_CHECKING:
    from harness.boot.cell import CellPlan
    from harness.cli.app import App
    from harness.cli.terminal import HostTerminal
    from harness.guest.backend import Backend
    from harness.guest.vmconfig import VmConfig
    from harness.mutation.fate import Judgement
    from harness.results.record import Cell, Run
    from harness.sanitizers import Sanitizers

    #: What is done with guests, their records in the folder: all cells, and judgements.
    Work = Callable[[Matrix, Path], tuple[tuple[Cell, ...], tuple[Judgement, ...]]]

_MAX_GUESTS = 8

#: How often what git-bisect(1) has called is done again when the host fails.
_RETRIES = 2

AUTO = "auto"
"""The accelerator that was chosen by measurement."""


def most_guests() -> int:
    """Guests at once: as many as the host has processors for, within reason."""
    return min(_MAX_GUESTS, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class GuestOptions:
    """The values of ``guest_options``."""

    vm: str | None
    memory: int | None
    cpus: int | None
    backend: str | None
    backend_flags: Mapping[str, str | None]
    method: str | None
    accelerator: str | None
    until: str
    timeout: float | None
    tunables: tuple[str, ...]
    fail_on_report: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """One command that boots guests.

    Args:
        app: the host and the user.
        options: where and how guests run.
        keep: leave the guest running.
        interactive: connect the user's terminal to the guest's console.
        git_bisect: the exit code is the answer, for ``git bisect run``.
    """

    app: App
    options: GuestOptions
    keep: bool = False
    interactive: bool = False
    git_bisect: bool = False

    def __post_init__(self) -> None:
        """Refuse an ``--out`` that no record can be put into, before anything runs."""
        if self.app.out is not None:
            with given_with("--out"):
                check_folder(self.app.out)

    def what(self, source: str | None, kernconf: str | None, kernel: Path | None = None,
             change: Change | None = None) -> What:  # fmt: skip
        """The kernel that the options name.

        Raises:
            UsageError: a source that is none, or the built-in guest with a loader.
        """
        change = change or Change()
        others = [*(["--source"] if source else []), *change.options]
        others += ["--kernconf"] if kernconf else []
        if kernel is not None and others:
            raise UsageError(
                f"--kernel {kernel} is built already, so nothing else can choose it or change it",
                remedy=f"leave out --kernel, or {' and '.join(others)}",
            )
        app = self.app
        location = app.existing_source(source) if kernel is None else app.source(source)
        what = What(location, change, kernconf, kernel)
        methods = self.app.kernels().provider(what).boot_methods
        if self.options.method is not None and BootMethod(self.options.method) not in methods:
            raise UsageError(
                f"--boot {self.options.method}: FreeBSD's loader cannot start the built-in guest",
                remedy="leave it out, or name a FreeBSD tree with --source",
            )
        return what

    def vmconfig(self) -> VmConfig | None:
        """The guest of ``--vm``, if one was named."""
        if not self.options.vm:
            return None
        from harness.guest.vmconfig import load_vmconfig

        with given_with("--vm"):
            return load_vmconfig(self.options.vm)

    def topologies(self, numa: str | None, sanitizers: Sanitizers) -> list[Topology]:
        """One topology for each number of nodes, or that of ``--vm``.

        Raises:
            UsageError: bad numbers, or both ``--vm`` and ``--numa``.
        """
        config = self.vmconfig()
        if config is not None:
            if numa is not None:
                raise UsageError(
                    "--numa and --vm both say what the guest looks like",
                    remedy="name one of them",
                )
            return [self._resized(config.topology)]
        cpus, memory = self.options.cpus, self.options.memory
        with given_with("--numa"):
            counts = parse_node_counts(numa or "1")
        with given_with(f"--cpus {cpus}") if cpus else contextlib.nullcontext():
            return [default_topology(count, sanitizers, cpus, memory) for count in counts]

    def _resized(self, topology: Topology) -> Topology:
        memory, cpus = self.options.memory, self.options.cpus
        nodes = tuple(
            Node(cpus if cpus and node.cpus else node.cpus,
                 memory if memory and node.memory_mib else node.memory_mib)
            for node in topology.nodes
        )  # fmt: skip
        return Topology(nodes, topology.distances)

    def plan(self, topology: Topology, sanitizers: Sanitizers) -> BootPlan:
        """How each guest of that topology is booted."""
        for warning in (*topology.warnings(), *memory_warnings(topology, sanitizers)):
            self.app.warn(warning)
        accelerator, slowness = self.accelerator()
        return BootPlan(
            topology=topology,
            until=Until(self.options.until),
            accelerator=accelerator,
            slowness=slowness,
            method=BootMethod(self.options.method or self.app.settings.boot.method),
            tunables=parse_tunables(self.options.tunables),
            timeout=self.options.timeout,
            keep=self.keep,
            fail_on_report=self.options.fail_on_report,
        )

    def accelerator(self) -> tuple[Accelerator, float]:
        """The one asked for, or chosen by measurement; and how slow it was measured to be.

        TCG that is asked for needs no measurement: its usual limits are patient.
        """
        from harness.guest.accelerator_choice import (
            choose_accelerator,
            known_accelerator,
            slowness,
        )

        asked = self.options.accelerator or self.app.settings.boot.accelerator
        workspace = self.app.workspace
        if asked == Accelerator.TCG:
            return Accelerator.TCG, slowness(Accelerator.TCG, known_accelerator(workspace))
        choice = choose_accelerator(workspace, self.app.runner, self.app.clock)
        accelerator = choice.accelerator if asked == AUTO else Accelerator(asked)
        return accelerator, slowness(accelerator, choice)

    def backend(self) -> Backend:
        """The one asked for, or the settings'."""
        app, boot = self.app, self.app.settings.boot
        row = find_backend(self.options.backend or boot.backend)
        told = backend_values(row, self.options.backend_flags, app.settings)
        return row.type.make(BackendHost(app.runner, app.clock, app.workspace, told))

    def booter(self) -> Booter:
        """Boots guests with that backend."""
        app = self.app
        return Booter(
            app.workspace, app.runner, app.clock, self.backend(), app.ending, logs=app.logs
        )

    def _terminal(self, rows: LiveRows) -> HostTerminal | None:
        def announce() -> None:
            rows.pause()
            from harness.cli.terminal import UNFILTERED

            rows.note(f"The guest's console, {UNFILTERED}; Ctrl-] leaves it.")

        if not self.interactive:
            return None
        from harness.cli.terminal import HostTerminal

        return HostTerminal.of_user(announce)

    def _tell_kept(self, run: Run) -> None:
        if not self.keep:
            return
        from harness.guest.registry import Registry

        kept = [one for one in Registry(self.app.workspace, self.app.clock).live()
                if one.run == run.name]  # fmt: skip
        for guest in kept:
            self.app.talk.say(
                f"{guest.name} runs on: harness console --interactive {guest.name}, "
                f"harness stop {guest.name}",
            )  # fmt: skip
        if not kept:
            self.app.warn("the guest has ended by itself, so there is none to keep")

    def run(self, kind: str, plans: Sequence[CellPlan], junit: Path | None) -> Run:
        """Boot all cells, or those that are repeated; keep the record, tell the user."""
        retry = self.app.retry
        if retry is not None:
            plans = [plan for plan in plans if plan.name in retry.cells]
        planned = Planned(plans[0].what.source if plans else "", tuple(plan.name for plan in plans))
        return self.carry_out(
            kind, len(plans), lambda matrix, folder: (matrix.run(plans, folder), ()), planned, junit
        )

    def carry_out(
        self, kind: str, guests: int, work: Work, planned: Planned, junit: Path | None = None
    ) -> Run:
        """Do what is done with guests, so many at the most; keep the record, tell the user.

        For git-bisect(1), which cannot go on without an answer, trouble of the host may pass: it
        is done again, and each time has a record of its own.
        """
        app = self.app
        store = Store(app.runs)
        run = self._recorded(kind, guests, work, store, planned)
        for left in reversed(range(_RETRIES if self.git_bisect else 0)):
            if not any(cell.host_failed for cell in run.cells):
                break
            store.save(run)
            app.warn(f"the host failed, so this says nothing; trying again ({left} times left)")
            run = self._recorded(kind, guests, work, store, planned)
        self._publish(run, store, junit)
        return run

    def _recorded(self, kind: str, guests: int, work: Work, store: Store, planned: Planned) -> Run:
        """Do it once, in a folder of its own, with a record from the beginning."""
        app = self.app
        moment = app.clock.now()
        folder = store.create(kind, moment)
        begun = beginning(
            folder.name, app.command, moment.isoformat(), planned, ProcessId.of(os.getpid())
        )
        try:
            store.save_document(begun)
            with LiveRows(app.talk, app.clock, verbose=app.verbosity > 0) as rows:
                jobs = min(guests, most_guests())
                booter = replace(self.booter(), terminal=self._terminal(rows))
                matrix = Matrix(app.kernels(), booter, rows, jobs, available_memory())
                cells, judgements = work(matrix, folder)
        except BaseException as error:
            _leave_early(store, begun, error)
            raise
        from harness.results.record import Run

        return Run(
            folder.name, app.command, moment.isoformat(), __version__, cells, judgements,
            planned.source, app.retry.run if app.retry else "", planned.mutants,
        )  # fmt: skip

    def _publish(self, run: Run, store: Store, junit: Path | None) -> None:
        from harness.cli.publish import publish
        from harness.results.record import to_document
        from harness.results.text import print_run

        def export() -> None:
            from harness.results.junit import write_junit

            if junit is not None:
                write_junit(run, junit)

        app = self.app
        self._tell_kept(run)
        publish(
            app, store, to_document(run),
            lambda: print_run(run, app.paper, verbose=app.verbosity > 0), export,
        )  # fmt: skip


def _leave_early(store: Store, begun: Mapping[str, Any], error: BaseException) -> None:
    """The record of a run that an error or a signal ends.

    An error before the first boot leaves none: it is told, and there is nothing to look at. What
    the host refuses to write is not told over the error that ended it all.
    """
    folder = store.folder / begun["name"]
    if isinstance(error, Exception) and not any(folder.glob("*/console.log")):
        shutil.rmtree(folder, ignore_errors=True)
        return
    if isinstance(error, HarnessError):
        cause = error.message
    else:
        cause = type(error).__name__ if isinstance(error, Exception) else "interrupted"
    with contextlib.suppress(InfraError):
        store.save_document(ended_early(begun, cause))
