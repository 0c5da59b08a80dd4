"""``harness check``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.boot.cell import CellPlan
from harness.check.checker import Checker, CheckPlan
from harness.cli.options import (
    FILE,
    change_options,
    common_options,
    guest_options,
    junit_option,
    source_options,
)
from harness.cli.sanitizers import AskedSanitizers, report_option, sanitizer_options
from harness.cli.session import GuestOptions, Session
from harness.cli.specification import (
    chosen_subsystems,
    spec_option,
    subsystem_option,
)
from harness.errors import UsageError, given_with
from harness.guest.topology import parse_numbers
from harness.host.workspace import write_atomic
from harness.outcome import Outcome
from harness.source.change import Change

if TYPE_CHECKING:
    from harness.boot.plan import BootPlan
    from harness.check.subject import Trace
    from harness.cli.app import App
    from harness.results.record import Run
    from harness.sanitizers import Sanitizers
    from harness.subsystems.subsystem import Subsystem

#: Of the random traces: all numbers of 64 bits.
_SEEDS = range(1 << 64)


@click.command()
@source_options
@change_options
@sanitizer_options
@report_option
@click.option("--numa", metavar="N", help="Number of NUMA nodes.  [default: 2]")
@guest_options
@click.option("--ops", type=click.IntRange(1, 10_000_000), default=1000, show_default=True,
              help="Operations a seed, at least.")  # fmt: skip
@click.option("--seed", "seeds", default="1", show_default=True, metavar="S,…",
              help="Of the random traces: 7, or 1-10, or 0x1f; a guest for each.")  # fmt: skip
@click.option("--replay", type=FILE, metavar="FILE",
              help="Run that trace instead of random ones.")  # fmt: skip
@spec_option
@subsystem_option
@junit_option
@common_options
def check(
    app: App,
    source: str | None,
    kernconf: str | None,
    revision: str | None,
    patch: Path | None,
    mutant: str | None,
    numa: str | None,
    asked: AskedSanitizers,
    **options: Any,
) -> int:
    """Run the same operations in a guest and in the model, and compare each step.

    What differs is shrunk to the shortest trace that shows it, and kept in the run's folder as
    difference.trace, which --replay reads, and 'harness model trace' if it is of a zone.

    \b
    Examples:
      harness check --numa 4 --kasan --ops 1000 --seed 7
      harness check --numa 2 --mutant drop-reserve-fallback --seed 1-10
      harness check --source embedded --numa 4
      harness check --numa 2 --replay difference.trace
      harness check --numa 4 --kasan --subsystem domainset --ops 10000
    """
    names = ("ops", "seeds", "replay", "spec", "subsystem", "junit")
    own = {name: options.pop(name) for name in names}
    session = Session(app, GuestOptions(**options))
    config = session.vmconfig()
    sanitizers = asked.of_kernel(config)
    what = session.what(source, kernconf, None, Change(revision, patch, mutant))
    trace = None
    topologies = session.topologies(numa or (None if config else "2"), sanitizers)
    if len(topologies) != 1:
        raise UsageError(
            f"--numa {numa} names several guests, and a check is of one",
            remedy="name one number",
        )
    with given_with("--seed"):
        seeds = [1] if own["replay"] else parse_numbers(
            own["seeds"], _SEEDS, "seed", few="seeds count from 0", many="a seed has 64 bits"
        )  # fmt: skip
    boot = _patient(session.plan(topologies[0], sanitizers), sanitizers)
    provider = app.kernels().provider(what)
    subsystems = chosen_subsystems(own["subsystem"], own["spec"], provider)
    if own["replay"]:
        subsystems, trace = _of_trace(own["replay"], subsystems)
    plans = [
        CheckPlan(
            specification=provider.specification(subsystem, what, own["spec"]),
            operations=own["ops"],
            seed=seed,
            replay=trace,
            slowness=boot.slowness,
        )
        for subsystem in subsystems
        for seed in seeds
    ]
    nodes = len(topologies[0].nodes)
    cells = [
        CellPlan(
            name=f"check-{sanitizers}-numa{nodes}{_suffix(plan, plans)}",
            side="",
            what=what,
            sanitizers=sanitizers,
            boot=boot,
            expected=_expected(sanitizers),
            why_expected="harness check expects every guest to come up",
            checker=Checker(plan, app.clock),
        )
        for plan in plans
    ]
    run = session.run("check", cells, own["junit"])
    _keep_traces(app, run)
    return run.exit_code


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
    """What tells a check from the others of the command."""
    several = {each.specification.subsystem for each in plans}
    words = [f"-{plan.specification.subsystem}"] if len(several) > 1 else []
    if len({each.seed for each in plans}) > 1:
        words.append(f"-seed{plan.seed}")
    return "".join(words)


def _patient(boot: BootPlan, sanitizers: Sanitizers) -> BootPlan:
    """The guest goes on after reports, as far as its sanitizers can and the user does not say
    otherwise.
    """
    return replace(boot, tunables={**sanitizers.goes_on, **boot.tunables})


def _expected(sanitizers: Sanitizers) -> tuple[Outcome, ...]:
    """A report that the kernel survives is told, and does not make a check fail."""
    survived = (row.outcome for row in sanitizers.rows if row.goes_on and row.outcome)
    return (Outcome.BOOTED, *survived)


def _keep_traces(app: App, run: Run) -> None:
    for cell in run.cells:
        result = cell.check
        if result is None:
            continue
        text = result.difference.trace if result.difference else result.trace
        if text:
            path = app.runs / run.name / cell.name / "difference.trace"
            write_atomic(path, text)
            app.talk.say(f"trace: {path}")
