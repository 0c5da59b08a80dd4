"""One order of a night, carried out in a process of its own on a host of a group."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, InfraError, UsageError
from harness.group.celldirectory import CellDirectory, done, failed
from harness.group.cellprocess import beating, report_result
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
from harness.runs.nights.kernels import NightKernels
from harness.runs.nights.orders import ErrorAnswer, NightAnswer, NightOrder, read_order
from harness.runs.nights.results import result_of_error
from harness.runs.nights.sources import NightSources
from harness.runs.recording import Recorder
from harness.source.firstparents import has_commit
from harness.source.location import is_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.history.url import DatabaseUrl
    from harness.mutation.judgement import Judgement
    from harness.results.record import Cell
    from harness.runs.environment import Environment
    from harness.runs.view import View


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
            result, console = _carried_out(envelope, host, env, view)
        except HarnessError as error:
            result, console = failed(error.message), b""
        cell.write_result(result, console)
    report_result(HostReports(url, host), cell, env.clock)


def _carried_out(
    envelope: Mapping[str, Any], host: str, env: Environment, view: View
) -> tuple[dict[str, Any], bytes]:
    """Return the report of an order, and the console.

    Raises:
        HarnessError: the order is invalid, or this host cannot carry it out.
    """
    if envelope.get("installed") != installed_state():
        raise InfraError("the harness on this host has changed since its worker was started")
    order = read_order(envelope.get("order", {}))
    _refuse_missing(order)
    most = Room(float(envelope["most"]["cores"]), int(envelope["most"]["memory"]))
    ledger = Ledger(env.workspace, host)
    with ledger.reserved(Room(order.cores, order.memory), most, env.clock):
        own = HostOrder(order, env, view, allowed=bool(envelope.get("allowed")))
        answer, console = own.kernel() if order.kind == "kernel" else own.cell()
    is_host = answer.error is not None and answer.error.kind == "host"
    is_host |= answer.result is not None and answer.result.status is Status.HOST_FAILED
    return done(answer.document(), host_failed=is_host), console


def _refuse_missing(order: NightOrder) -> None:
    source = order.branch.planned.source
    if source in NAMED_SOURCES or is_url(source):
        return
    if not Path(source).expanduser().exists():
        raise UsageError(f"there is no {source} on this host")


@dataclass(slots=True)
class HostOrder:
    """An order on this host.

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
    kernels: NightKernels = field(init=False)

    def __post_init__(self) -> None:
        planned, branch = self.order.branch.planned, self.order.branch
        night = BranchNight(
            planned.name, planned.source, branch.tip, branch.base, branch.rewritten
        )  # fmt: skip
        sources = NightSources(self.env, self.view)
        self.kernels = NightKernels.of(self.env, self.view, sources, [planned], [night])
        tree = sources.tree(planned.source) if is_url(planned.source) else None
        if tree is not None and not has_commit(tree.repository, self.order.commit):
            problem = sources.fetch(planned.source)
            if problem:
                raise InfraError(problem)

    def kernel(self) -> tuple[NightAnswer, bytes]:
        """Have the kernel."""
        task = self.order.task
        try:
            made = self.kernels.kernel(task.cell, task.commit, Recorded(), clean=task.clean)
        except HarnessError as error:
            return NightAnswer(error=ErrorAnswer.of(error)), b""
        return NightAnswer(kernel=made.identity.key, artifact=content_digest(made)), b""

    def cell(self) -> tuple[NightAnswer, bytes]:
        """Run the cell, in a record of its own.

        Raises:
            UsageError: it runs commands on the host, and may not; or it cannot be run at all.
            InfraError: the host fails before there is a guest.
        """
        guests = NightGuests(self.env, self.view, self.kernels)
        first, _ = guests.plan(self.order.cell)
        if first.machine is not None and not self.allowed:
            raise UsageError(
                f"{self.order.cell.vm} runs commands on the host, and the worker was started "
                "without --allow-commands"
            )
        found: list[tuple[Result, bytes]] = []

        def work(matrix: Matrix, directory: Path) -> tuple[tuple[Cell, ...], tuple[Judgement, ...]]:
            runner = CellRunner(self.env, self._night, self.kernels, guests, matrix, directory)
            found.append(self._run(runner))
            return tuple(runner.cells), ()

        planned = Planned(self.order.branch.planned.source)
        Recorder(self.env, self.view).carry_out("nightly", first, 1, work, planned)
        result, console = found[0]
        return NightAnswer(result=result), console

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
