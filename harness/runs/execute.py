"""Runs one command in a guest with FreeBSD's userland."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.execution.program import Program, ProgramPlan
from harness.runs.guests import GuestRequest, Guests
from harness.runs.recording import Recorder, RunResult
from harness.runs.view import Unseen, View
from harness.runs.worlds import userland_cell, with_world
from harness.shell.shell import OutputSink
from harness.world.config import WorldKind

if TYPE_CHECKING:
    from harness.execution.result import ProgramResult
    from harness.runs.environment import Environment
    from harness.sanitizers import Sanitizers
    from harness.source.request import KernelRequest


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """A command to run in a guest.

    Args:
        what: the kernel; it gets what a world needs.
        program: the command.
        guest: the guest, exactly one.
        sanitizers: the kernel's sanitizers; None: those of the vm file.
        echo: receives the command's output while it runs.
    """

    what: KernelRequest
    program: ProgramPlan
    guest: GuestRequest = field(default_factory=GuestRequest)
    sanitizers: Sanitizers | None = None
    echo: OutputSink = field(default_factory=OutputSink)


def execute(request: ExecRequest, env: Environment, view: View | None = None) -> RunResult:
    """Build kernel and world, boot them, and run the command.

    Raises:
        UsageError: the request is invalid.
        BuildError: the revision does not build.
        InfraError: the host failed before there was a cell.
    """
    view = view or Unseen()
    recorder = Recorder(env, view)
    asked = with_world(request.guest, WorldKind.SLIM)
    guests = Guests.of(env, view, asked, request.what)
    plan = replace(
        userland_cell(guests, request.what, request.sanitizers, "exec"),
        why_expected="harness exec expects the guest to come up, and exit status 0",
        program=Program(request.program, env.logs, request.echo),
    )
    return recorder.boot("exec", guests, [plan])


def result_of(result: RunResult) -> ProgramResult | None:
    """Return the command's result; None if the guest did not come up."""
    programs = [cell.program for cell in result.run.cells if cell.program is not None]
    return programs[0] if programs else None
