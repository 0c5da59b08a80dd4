"""One order of a night, carried out in a process of its own on a host of a group."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, InfraError, UsageError
from harness.group.celldirectory import CellDirectory, Lack, done, failed
from harness.group.cellprocess import beating, report_result
from harness.group.files import GroupFiles, NotSentError, WrongFileError, require_room
from harness.group.reports import HostReports
from harness.group.version import installed_state
from harness.host.ledger import Ledger, Room
from harness.host.progress import Recorded
from harness.kernel.elf import content_digest
from harness.nightly.night import BranchNight, Night, NightState
from harness.nightly.result import Result, Status
from harness.provide.sources import NAMED_SOURCES
from harness.results.unfinished import Planned
from harness.runs.matrix import Matrix, MemoryGate
from harness.runs.nights.cellrunner import CellRunner
from harness.runs.nights.guests import NightGuests
from harness.runs.nights.heldkernels import HeldKernels
from harness.runs.nights.kernels import NightKernels
from harness.runs.nights.orders import (
    ErrorAnswer,
    HeldOrder,
    NightAnswer,
    NightOrder,
    read_order,
)
from harness.runs.nights.results import result_of_error
from harness.runs.nights.sources import NightSources
from harness.runs.recording import Recorder
from harness.runs.replicas import KernelReplica, Replicas, WorldReplica, replica_key
from harness.runs.worlds import world_for
from harness.source.firstparents import has_commit
from harness.source.location import is_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.history.url import DatabaseUrl
    from harness.mutation.judgement import Judgement
    from harness.nightly.cells import PlannedBranch
    from harness.results.record import Cell
    from harness.runs.environment import Environment
    from harness.runs.view import View
    from harness.world.image import World


def run_cell(cell: CellDirectory, url: DatabaseUrl, env: Environment, view: View) -> None:
    """Carry out the order in a directory, write its result there, and report it.

    If the server is away, the result stays for the host's worker. If the lease is cancelled
    meanwhile, this process is sent SIGTERM.

    Args:
        cell: the directory of the order.
        url: the group's database, with the worker's role.
        env: the host.
        view: shows what happens.
    """
    envelope = cell.order() or {}
    host = str(envelope.get("host", ""))
    with beating(HostReports(url, host), cell.lease):
        try:
            result, console = _carried_out(envelope, host, url, env, view)
        except LackingError as error:
            result, console = failed(error.message, error.lack), b""
        except HarnessError as error:
            result, console = failed(error.message), b""
        cell.write_result(result, console)
    report_result(HostReports(url, host), cell, env.clock)


def _carried_out(
    envelope: Mapping[str, Any], host: str, url: DatabaseUrl, env: Environment, view: View
) -> tuple[dict[str, Any], bytes]:
    """Return the report of an order, and the console.

    Raises:
        HarnessError: the order is invalid, or this host cannot carry it out.
    """
    if envelope.get("installed") != installed_state():
        raise InfraError("the harness on this host has changed since its worker was started")
    order = read_order(envelope.get("order", {}))
    if order.kind in ("send", "receive"):
        return _moved(order, GroupFiles(url, host, env.clock), env), b""
    most = Room(float(envelope["most"]["cores"]), int(envelope["most"]["memory"]))
    ledger = Ledger(env.workspace, host)
    with ledger.reserved(Room(order.cores, order.memory), most, env.clock):
        own = HostOrder(order, env, view, allowed=bool(envelope.get("allowed")))
        answer, console = own.kernel() if order.kind == "kernel" else own.cell()
    is_host = answer.error is not None and answer.error.kind == "host"
    is_host |= answer.result is not None and answer.result.status is Status.HOST_FAILED
    return done(answer.document(), host_failed=is_host), console


def _moved(order: NightOrder, files: GroupFiles, env: Environment) -> dict[str, Any]:
    """Send or receive a kernel; return the report.

    Raises:
        LackingError: it is not on this host, was not sent, or something else was sent.
        HarnessError: it cannot be a kernel, or this host fails.
    """
    if order.held is None:
        raise UsageError("the order names no kernel")
    replicas = Replicas(env.workspace)
    try:
        for each in order.held.all:
            if order.kind == "send":
                found = replicas.files(each)
                if found is None:
                    raise LackingError("the kernel is not on this host", Lack.KERNEL)
                files.send(found)
            else:
                require_room(replicas.directory, each.files)
                replicas.receive(
                    each, lambda seal: files.fetch(order.sender, seal, replicas.directory)
                )
    except NotSentError as error:
        raise LackingError(error.message, Lack.PARTS) from error
    except WrongFileError as error:
        raise LackingError(error.message, Lack.RIGHT_FILE) from error
    finally:
        files.close()
    return done({}, host_failed=False)


class LackingError(InfraError):
    """This host lacks what an order needs.

    Args:
        message: the cause, in words.
        lack: what it is.
    """

    def __init__(self, message: str, lack: Lack) -> None:
        super().__init__(message)
        self.lack = lack


@dataclass(slots=True)
class HostOrder:
    """An order on this host: a kernel to build, or a cell.

    Args:
        order: the order.
        env: the host.
        view: shows what happens.
        allowed: whether it may run commands on the host.
    """

    order: NightOrder
    env: Environment
    view: View
    allowed: bool

    def kernel(self) -> tuple[NightAnswer, bytes]:
        """Build the kernel, and the world of its cells.

        Raises:
            LackingError: the source or its revision is not on this host.
        """
        self._require_source()
        kernels = NightKernels.of(self.env, self.view, self._sources, *self._branches)
        task = self.order.task
        try:
            made = kernels.kernel(task.cell, task.commit, Recorded(), clean=task.clean)
            world = None
            if task.cell.world:
                request = kernels.request(task.cell, task.commit)
                found = world_for(request, task.cell.world, self.env, Recorded())
                world = WorldReplica.of(found, self.env.workspace)
        except HarnessError as error:
            return NightAnswer(error=ErrorAnswer.of(error)), b""
        held = HeldOrder(kernel=KernelReplica.of(made), world=world)
        keys = () if world else (made.identity.key, replica_key(held.kernel.files))
        return NightAnswer(held=held, keys=keys), b""

    def cell(self) -> tuple[NightAnswer, bytes]:
        """Run the cell, in a record of its own.

        Raises:
            LackingError: its kernel is not on this host.
            UsageError: it runs commands on the host, and may not; or it cannot be run at all.
            InfraError: the host fails before there is a guest.
        """
        kernels, worlds = self._held()
        guests = NightGuests(self.env, self.view, kernels)
        first, _ = guests.plan(self.order.cell)
        if first.machine is not None and not self.allowed:
            raise UsageError(
                f"{self.order.cell.vm} runs commands on the host, and the worker was started "
                "without --allow-commands"
            )
        found: list[tuple[Result, bytes]] = []

        def work(matrix: Matrix, directory: Path) -> tuple[tuple[Cell, ...], tuple[Judgement, ...]]:
            runner = CellRunner(
                self.env, self._night, kernels, guests, matrix, directory, worlds
            )  # fmt: skip
            found.append(self._run(runner))
            return tuple(runner.cells), ()

        planned = Planned(self.order.branch.planned.source)
        Recorder(self.env, self.view).carry_out("nightly", first, 1, work, planned)
        result, console = found[0]
        return NightAnswer(result=result), console

    @property
    def _sources(self) -> NightSources:
        return NightSources(self.env, self.view)

    @property
    def _branches(self) -> tuple[list[PlannedBranch], list[BranchNight]]:
        branch, planned = self.order.branch, self.order.branch.planned
        night = BranchNight(
            planned.name, planned.source, branch.tip, branch.base, branch.rewritten
        )  # fmt: skip
        return [planned], [night]

    def _require_source(self) -> None:
        """Check that the revision can be built here; fetch it from a URL.

        Raises:
            LackingError: it cannot.
            InfraError: it cannot be fetched.
        """
        source, commit = self.order.branch.planned.source, self.order.commit
        if source in NAMED_SOURCES:
            return
        if not is_url(source) and not Path(source).expanduser().exists():
            raise LackingError(f"there is no {source} on this host", Lack.SOURCE)
        tree = self._sources.tree(source)
        if tree is None or has_commit(tree.repository, commit):
            return
        if not is_url(source):
            raise LackingError(f"{source} has no {commit[:12]} on this host", Lack.SOURCE)
        problem = self._sources.fetch(source)
        if problem:
            raise InfraError(problem)

    def _held(self) -> tuple[HeldKernels, dict[tuple[str, str], World]]:
        """Return the kernel and the world that the order names.

        Raises:
            LackingError: they are not on this host.
        """
        order, replicas = self.order, Replicas(self.env.workspace)
        kernel = replicas.kernel(order.held.kernel) if order.held else None
        if order.held is None or kernel is None:
            raise LackingError("the kernel is not on this host", Lack.KERNEL)
        held = HeldKernels.of(self.env, self.view, self._sources, *self._branches)
        held = replace(held, held=kernel, told=order.specification)
        if order.held.world is None:
            return held, {}
        world = replicas.world(order.held.world)
        if world is None:
            raise LackingError("the world is not on this host", Lack.KERNEL)
        return held, {(order.cell.slot.branch, order.cell.world): world}

    def _run(self, runner: CellRunner) -> tuple[Result, bytes]:
        task = self.order.task
        planned = runner.planned(task)
        kernel = runner.kernel(task)
        if isinstance(kernel, HarnessError):
            return result_of_error(planned, kernel), b""
        planned = replace(
            planned, artifact=content_digest(kernel), kernel=kernel.identity.key
        )  # fmt: skip
        ran = runner.run(task, kernel, planned, MemoryGate(runner.matrix.memory))
        if ran is None:
            raise InfraError("the cell was ended")
        return ran

    @property
    def _night(self) -> Night:
        branch = self.order.branch
        night = BranchNight(branch.planned.name, branch.planned.source, branch.tip, branch.base)
        return Night(
            self.order.plan, self.order.night, NightState.RUNNING, self.env.clock.now(),
            host=self.order.host, branches=(night,),
        )  # fmt: skip
