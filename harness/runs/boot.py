"""One kernel on one guest, once or several times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.boot.cellplan import CellPlan, kind_of, repeated
from harness.host.progress import Recorded
from harness.outcome import Outcome
from harness.runs.guests import GuestRequest, Guests
from harness.runs.recording import Recorder, RunResult
from harness.runs.view import Unseen, View

if TYPE_CHECKING:
    from harness.runs.environment import Environment
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest


@dataclass(frozen=True, slots=True)
class BootRequest:
    """A kernel to boot.

    Args:
        what: the kernel.
        guest: the guest, which is one.
        sanitizers: of the kernel; None: those of the guest's file.
        repeat: how often it is booted; failures that do not repeat are counted.
        keep: leave the guest running after the verdict.
        host_retries: how often all is done again if the host fails.
    """

    what: KernelRequest
    guest: GuestRequest = field(default_factory=GuestRequest)
    sanitizers: Sanitizers | None = None
    repeat: int = 1
    keep: bool = False
    host_retries: int = 0


def boot(request: BootRequest, env: Environment, view: View | None = None) -> RunResult:
    """Build the kernel, boot it, and give the verdict.

    Raises:
        UsageError: what the request names is at fault.
        BuildError: the revision does not build.
        InfraError: the host failed before there was a cell.
    """
    view = view or Unseen()
    recorder = Recorder(env, view)
    guests, cell = _planned(request, env, view)
    plans = repeated(cell, request.repeat)
    return recorder.boot("boot", guests, plans, request.host_retries)


def describe_boot(request: BootRequest, env: Environment, view: View | None = None) -> str:
    """A command or domain XML that boots the guest by itself; the kernel is built for it.

    Raises:
        UsageError, BuildError, InfraError: as ``boot``.
    """
    guests, cell = _planned(request, env, view or Unseen())
    kernel = env.kernels(guests.view.note).provide(cell.what, cell.sanitizers, Recorded())
    return guests.booter().describe(cell.name, kernel, cell.boot)


def _planned(request: BootRequest, env: Environment, view: View) -> tuple[Guests, CellPlan]:
    guests = Guests.of(env, view, request.guest, request.what)
    sanitizers = guests.sanitizers(request.sanitizers)
    topology = guests.topology(sanitizers, "boot")
    return guests, CellPlan(
        name=f"{kind_of(sanitizers, request.what)}-numa{len(topology.nodes)}",
        side="",
        what=request.what,
        sanitizers=sanitizers,
        boot=guests.plan(topology, sanitizers, keep=request.keep),
        expected=(Outcome.BOOTED,),
        why_expected="harness boot expects every kernel to boot",
    )
