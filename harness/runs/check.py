"""The same operations in a guest and in the model, compared step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boot.cell import CellPlan
from harness.check.checker import Checker, CheckPlan
from harness.errors import UsageError
from harness.host.workspace import write_atomic
from harness.image.media import BootMethod
from harness.outcome import Outcome
from harness.runs.guests import GuestRequest, Guests
from harness.runs.recording import Recorder, RunResult
from harness.runs.view import Unseen, View
from harness.subsystems.specifications import AUTO
from harness.subsystems.table import SUBSYSTEMS, find_subsystem

if TYPE_CHECKING:
    from harness.check.subject import Trace
    from harness.provide.provider import Provider
    from harness.runs.environment import Environment
    from harness.sanitizers import Sanitizers
    from harness.source.what import What
    from harness.subsystems.subsystem import Subsystem

#: Of the traces that the run's cells keep.
_TRACE = "difference.trace"


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """A kernel to check.

    Args:
        what: the kernel.
        guest: the guest, which is one; 2 nodes if neither numbers nor a file are named.
        sanitizers: of the kernel; None: those of the guest's file.
        operations: of each check, at the least.
        seeds: of the random traces, below 2^64; a guest for each.
        replay: the file of a trace that is run instead of random ones.
        spec: what the kernel is held to; see ``Specifications.of``.
        subsystem: the part of the kernel; None: all that fit, each in a guest of its own.
    """

    what: What
    guest: GuestRequest = field(default_factory=GuestRequest)
    sanitizers: Sanitizers | None = None
    operations: int = 1000
    seeds: tuple[int, ...] = (1,)
    replay: Path | None = None
    spec: str = AUTO
    subsystem: str | None = None


@dataclass(frozen=True, slots=True)
class CheckResult(RunResult):
    """What a check came to.

    Args:
        traces: files of the shortest traces that show what differs.
    """

    traces: tuple[Path, ...]


def check(request: CheckRequest, env: Environment, view: View | None = None) -> CheckResult:
    """Boot a guest for each subsystem and seed, and hold it to the model.

    Raises:
        UsageError: what the request names is at fault.
        BuildError: the revision does not build.
        InfraError: the host failed before there was a cell.
    """
    view = view or Unseen()
    recorder = Recorder(env, view)
    guests = Guests.of(env, view, request.guest, request.what, BootMethod.DIRECT)
    sanitizers = guests.sanitizers(request.sanitizers)
    topology = guests.topology(sanitizers, "check", "2")
    boot = guests.plan(topology, sanitizers, goes_on=True)
    plans = _plans(request, env, view, boot.slowness)
    cells = [
        CellPlan(
            name=f"check-{sanitizers}-numa{len(topology.nodes)}{_suffix(plan, plans)}",
            side="",
            what=request.what,
            sanitizers=sanitizers,
            boot=boot,
            expected=_expected(sanitizers),
            why_expected="harness check expects every guest to come up",
            checker=Checker(plan, env.clock),
        )
        for plan in plans
    ]
    result = recorder.boot("check", guests, cells)
    return CheckResult(result.run, result.folder, _kept_traces(result))


def _plans(request: CheckRequest, env: Environment, view: View, slowness: float) -> list[CheckPlan]:
    provider = env.kernels(view.note).provider(request.what)
    subsystems = _chosen(request, provider)
    trace = None
    if request.replay:
        subsystems, trace = _of_trace(request.replay, subsystems)
    return [
        CheckPlan(
            specification=provider.specification(subsystem, request.what, request.spec),
            operations=request.operations,
            seed=seed,
            replay=trace,
            slowness=slowness,
        )
        for subsystem in subsystems
        for seed in ((1,) if trace else request.seeds)
    ]


def _chosen(request: CheckRequest, provider: Provider) -> tuple[Subsystem, ...]:
    """What is checked: the one named, or all that the kernel has and the specification knows.

    Raises:
        UsageError: the kernel does not have the one named.
    """
    if request.subsystem is not None:
        return (subsystem_of(request.subsystem, provider),)
    spec = request.spec
    if not any(spec in each.variant_names for each in SUBSYSTEMS):
        return provider.subsystems
    return tuple(each for each in provider.subsystems if spec in each.variant_names)


def subsystem_of(name: str, provider: Provider) -> Subsystem:
    """The subsystem of that name.

    Raises:
        UsageError: there is none, or the provider's kernels do not have it.
    """
    subsystem = find_subsystem(name)
    if subsystem not in provider.subsystems:
        raise UsageError(
            f"the built-in guest has no subsystem {name}",
            remedy="name a FreeBSD tree with --source, or leave --subsystem out",
        )
    return subsystem


def _of_trace(file: Path, subsystems: Sequence[Subsystem]) -> tuple[tuple[Subsystem, ...], Trace]:
    """The subsystem that a trace is for, and what it says.

    Raises:
        UsageError: it is for none of them, or has what no kernel may be asked.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read the trace {file}: {error}", remedy="name a text file with --replay"
        ) from error
    fitting = [each for each in subsystems if each.has_written(text)] or list(subsystems)
    return (fitting[0],), fitting[0].read_trace(text)


def _suffix(plan: CheckPlan, plans: Sequence[CheckPlan]) -> str:
    """What tells a check from the others of the run."""
    several = {each.specification.subsystem for each in plans}
    words = [f"-{plan.specification.subsystem}"] if len(several) > 1 else []
    if len({each.seed for each in plans}) > 1:
        words.append(f"-seed{plan.seed}")
    return "".join(words)


def _expected(sanitizers: Sanitizers) -> tuple[Outcome, ...]:
    """A report that the kernel survives is told, and does not make a check fail."""
    survived = (row.outcome for row in sanitizers.rows if row.goes_on and row.outcome)
    return (Outcome.BOOTED, *survived)


def _kept_traces(result: RunResult) -> tuple[Path, ...]:
    """Write the traces of what differs; gives their files."""
    found = []
    for cell in result.run.cells:
        if cell.check is None:
            continue
        difference = cell.check.difference
        text = difference.trace if difference else cell.check.trace
        if text:
            path = result.folder / cell.name / _TRACE
            write_atomic(path, text)
            found.append(path)
    return tuple(found)
