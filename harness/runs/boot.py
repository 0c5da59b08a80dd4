"""Boots one kernel on one guest, once or several times."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.boot.cellplan import CellPlan, kind_of, repeated
from harness.debug.plan import NO_DEBUG, DebugPlan
from harness.host.progress import Recorded
from harness.outcome import Outcome
from harness.runs.guests import GuestRequest, Guests
from harness.runs.recording import Recorder, RunResult
from harness.runs.view import Unseen, View
from harness.world.fit import require_fitting

if TYPE_CHECKING:
    from harness.runs.environment import Environment
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest


@dataclass(frozen=True, slots=True)
class BootRequest:
    """A kernel to boot.

    Args:
        what: the kernel.
        guest: the guest, exactly one.
        sanitizers: the kernel's sanitizers; None: those of the vm file.
        repeat: number of boots; each outcome is counted.
        keep: leave the guest running after the verdict.
        host_retries: retries after a host failure.
        debug: what is asked of a guest that fails.
    """

    what: KernelRequest
    guest: GuestRequest = field(default_factory=GuestRequest)
    sanitizers: Sanitizers | None = None
    repeat: int = 1
    keep: bool = False
    host_retries: int = 0
    debug: DebugPlan = NO_DEBUG


def boot(request: BootRequest, env: Environment, view: View | None = None) -> RunResult:
    """Build the kernel, boot it, and return the verdict.

    Raises:
        UsageError: the request is invalid.
        BuildError: the revision does not build.
        InfraError: the host failed before there was a cell.
    """
    view = view or Unseen()
    recorder = Recorder(env, view)
    guests, cell = _planned(request, env, view)
    plans = repeated(cell, request.repeat)
    return recorder.boot("boot", guests, plans, request.host_retries)


def describe_boot(request: BootRequest, env: Environment, view: View | None = None) -> str:
    """Build the kernel; return a command or domain XML that boots it without the harness.

    Raises:
        UsageError, BuildError, InfraError: as ``boot``.
    """
    guests, cell = _planned(request, env, view or Unseen())
    kernel = env.kernels(guests.view.note).provide(cell.what, cell.sanitizers, Recorded())
    plan = cell.boot
    if cell.world is not None:
        from harness.runs.worlds import world_for  # only such guests need its modules

        world = world_for(cell.what, cell.world, env, Recorded())
        require_fitting(kernel.identity.release, world.identity)
        plan = replace(plan, world=world)
    return guests.booter().describe(cell.name, kernel, plan)


def _planned(request: BootRequest, env: Environment, view: View) -> tuple[Guests, CellPlan]:
    guests = Guests.of(env, view, request.guest, request.what)
    sanitizers = guests.sanitizers(request.sanitizers)
    topology = guests.topology(sanitizers, "boot")
    once = request.repeat == 1 and guests.world is not None
    plan = guests.plan(topology, sanitizers, keep=request.keep, restored=once)
    return guests, CellPlan(
        name=f"{kind_of(sanitizers, request.what)}-numa{len(topology.nodes)}",
        side="",
        what=guests.with_userland(request.what),
        sanitizers=sanitizers,
        boot=replace(plan, debug=request.debug),
        world=guests.world,
        expected=(Outcome.BOOTED,),
        why_expected="harness boot expects every kernel to boot",
    )
