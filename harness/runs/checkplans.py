"""The subsystems that a request to check names, and the plan for each of them and each seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.check.checker import CheckPlan
from harness.check.subject import ConcurrentTrace
from harness.errors import UsageError
from harness.runs.checkrequest import CheckRequest, On
from harness.subsystems.table import (
    SUBSYSTEMS,
    find_case,
    find_subsystem,
    subsystem_of_trace,
    trace_text,
)

if TYPE_CHECKING:
    from harness.check.subject import Trace
    from harness.provide.provider import Provider
    from harness.provide.revisions import Revisions
    from harness.subsystems.subsystem import Subsystem

#: Operations of a check in a guest.
_IN_GUEST = 1000


def check_plans(request: CheckRequest, provider: Provider) -> list[CheckPlan]:
    """Return what is checked: each subsystem, with each seed.

    Raises as ``checked_subsystems``.
    """
    subsystems, trace = checked_subsystems(request, provider)
    return [
        CheckPlan(
            specification=provider.specification(subsystem, request.what, request.spec),
            operations=request.operations or _IN_GUEST,
            seed=seed,
            replay=trace,
            on_host=subsystem.on_host is not None,
            fail_on_known=request.fail_on_known,
            schedules=request.schedules,
        )
        for subsystem in subsystems
        for seed in ((1,) if trace else request.seeds)
    ]


def checked_subsystems(
    request: CheckRequest, provider: Provider
) -> tuple[tuple[Subsystem, ...], Trace | None]:
    """Return the subsystems to check, and the trace to run in place of random ones.

    Raises:
        UsageError: the kernel or the host program does not have the named subsystem, or the trace
            cannot be read.
    """
    subsystems = _chosen(request, provider)
    trace = None
    text = _trace_asked(request)
    if text is not None:
        subsystem = subsystem_of_trace(text, subsystems)
        subsystems, trace = (subsystem,), subsystem.read_trace(text)
    if request.on is On.HOST:
        subsystems = checked_on_host(subsystems)
    if request.schedules:
        subsystems = _with_threads(request, subsystems)
    if request.on is not On.HOST and isinstance(trace, ConcurrentTrace) and trace.is_concurrent:
        raise UsageError(
            "the trace has threads, and a guest cannot run them by a schedule",
            remedy="run it in a host program: --on host",
        )
    return subsystems, trace


def has_threads(plan: CheckPlan) -> bool:
    """Return whether the trace to run has threads."""
    return isinstance(plan.replay, ConcurrentTrace) and plan.replay.is_concurrent


def _with_threads(request: CheckRequest, subsystems: Sequence[Subsystem]) -> tuple[Subsystem, ...]:
    """Return the subsystems whose traces have threads.

    Raises:
        UsageError: none has.
    """
    if request.on is not On.HOST:
        raise UsageError(
            "--schedules: a guest cannot run threads by a schedule", remedy="add --on host"
        )
    found = tuple(each for each in subsystems if not each.is_modelled)
    if subsystems and not found:
        names = " and ".join(each.name for each in subsystems)
        raise UsageError(
            f"--schedules: traces of {names} have no threads", remedy="name --subsystem zones"
        )
    return found


def _chosen(request: CheckRequest, provider: Provider) -> tuple[Subsystem, ...]:
    """Return the subsystems to check: the named one, or all with a known specification.

    Raises:
        UsageError: the kernel does not have the named one, or none with that specification.
    """
    if request.subsystem is not None:
        return (subsystem_of(request.subsystem, provider),)
    spec = request.spec
    if any(spec in each.variant_names for each in SUBSYSTEMS):
        return _with_form(spec, provider)
    if request.replay is not None or request.case is not None:
        return provider.subsystems
    # A guest cannot be searched without a model: it would end at the first named case.
    return tuple(
        each for each in provider.subsystems if each.is_modelled or request.on is not On.GUEST
    )


def _with_form(spec: str, provider: Provider) -> tuple[Subsystem, ...]:
    """Return the subsystems that have a form of that name.

    Raises:
        UsageError: none of the kernel's has.
    """
    found = tuple(each for each in provider.subsystems if spec in each.variant_names)
    if not found:
        known = ", ".join(name for each in provider.subsystems for name in each.variant_names)
        raise UsageError(
            f"--spec {spec}: {provider.title} has no subsystem with that form",
            remedy=f"name one of {known}, or leave --spec out",
        )
    return found


def checked_on_host(subsystems: Sequence[Subsystem]) -> tuple[Subsystem, ...]:
    """Return the subsystems that can be checked as a host program.

    Raises:
        UsageError: none can.
    """
    found = tuple(each for each in subsystems if each.on_host is not None)
    if subsystems and not found:
        names = " and ".join(each.name for each in subsystems)
        raise UsageError(
            f"--on host: {names} can be checked in a guest only", remedy="leave --on host out"
        )
    return found


def subsystem_of(name: str, kernels: Provider | Revisions) -> Subsystem:
    """Return the subsystem of that name.

    Args:
        name: its name.
        kernels: the kernels that must have it.

    Raises:
        UsageError: there is none, or the kernel does not have it.
    """
    subsystem = find_subsystem(name)
    if subsystem not in kernels.subsystems:
        raise UsageError(
            f"{kernels.title} has no subsystem {name}",
            remedy="name a FreeBSD tree with --source, or leave --subsystem out",
        )
    return subsystem


def _trace_asked(request: CheckRequest) -> str | None:
    """Return the text of the trace to replay; None for random traces.

    Raises:
        UsageError: the file cannot be read, or the case has no trace.
    """
    if request.replay is not None:
        return trace_text(request.replay, "--replay")
    if request.case is None:
        return None
    case = find_case(request.case)
    if not case.trace:
        raise UsageError(
            f"the case {case.name} has no trace",
            remedy=f"run its command: harness {' '.join(case.command)}",
        )
    return case.trace
