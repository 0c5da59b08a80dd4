"""``harness mutants``."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from harness.check.checker import CheckPlan
from harness.cli.completion import complete_mutants, complete_revisions
from harness.cli.options import (
    FILE,
    common_options,
    guest_options,
    source_options,
)
from harness.cli.sanitizers import AskedSanitizers, sanitizer_options
from harness.cli.session import GuestOptions, Session
from harness.errors import UsageError
from harness.guest.memory import available_memory
from harness.outcome import Until
from harness.results.unfinished import Planned
from harness.runs.matrix import Matrix, MemoryGate
from harness.runs.mutants import CheckOracle, HostBoots, Mutation
from harness.source.change import Change
from harness.subsystems.specifications import AUTO
from harness.subsystems.table import SUBSYSTEMS, find_mutant
from harness.subsystems.table import mutants as all_mutants

if TYPE_CHECKING:
    from harness.cli.app import App
    from harness.mutation.fate import Judgement
    from harness.mutation.mutant import Mutant
    from harness.results.record import Cell
    from harness.subsystems.subsystem import Subsystem


@click.command()
@source_options
@click.option(
    "--rev",
    "revision",
    metavar="REV",
    help="A revision; default: as it stands.",
    shell_complete=complete_revisions,
)
@click.option("--patch", type=FILE, help="Apply a patch file on top.")
@click.option(
    "--mutant",
    "patterns",
    multiple=True,
    metavar="NAME",
    help="These only; 'drop-*' works.",
    shell_complete=complete_mutants,
)
@click.option("--list", "only_list", is_flag=True, help="List the mutants, and do nothing else.")
@sanitizer_options
@click.option("--numa", metavar="N,…", help="Numbers of NUMA nodes: 4, or 2,4.  [default: 2]")
@guest_options
@click.option(
    "--baseline", type=click.IntRange(2, 100), default=3, show_default=True,
    help="Boots of the kernel without a mutant, to learn what its counters are like.",
)  # fmt: skip
@click.option("--ops", type=click.IntRange(1, 1_000_000), default=600, show_default=True,
              help="Operations of a check.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, (1 << 64) - 1), default=1, show_default=True,
              help="Of a check's random traces.")  # fmt: skip
@common_options
def mutants(
    app: App,
    source: str | None,
    kernconf: str | None,
    revision: str | None,
    patch: Path | None,
    patterns: tuple[str, ...],
    numa: str | None,
    asked: AskedSanitizers,
    **options: Any,
) -> int:
    """Judge every mutant of a tree: is it caught, by what, how fast.

    Oracles look in turn: boot (as predicted without the mutant), counters (of the zones with a
    reserve, as without the mutant and as the model has them), check (operation by operation, as
    the model says). Kernels are kept, so a second run only boots.

    \b
    Examples:
      harness mutants --list
      harness mutants --numa 2,4 --kasan
      harness mutants --source ~/src --mutant 'drop-*' --numa 2 --kasan
    """
    chosen = _chosen(patterns)
    only_list, baseline = options.pop("only_list"), options.pop("baseline")
    ops, seed = options.pop("ops"), options.pop("seed")
    if only_list:
        return _list(app, chosen)
    if options["until"] != Until.INIT:
        raise UsageError(
            "the counters come from the guest's init, which --until would not let it reach",
            remedy="leave --until out",
        )
    session = Session(app, GuestOptions(**options))
    what = session.what(source, kernconf, change=Change(revision, patch))
    provider = app.kernels().provider(what)
    if not patterns:
        chosen = list(provider.mutants.values())
    if app.retry is not None:
        chosen = [mutant for mutant in chosen if mutant.name in app.retry.cells]
    config = session.vmconfig()
    sanitizers = asked.of_kernel(config)
    topologies = session.topologies(numa or (None if config else "2"), sanitizers)
    held = [provider.specification(each, what, AUTO) for each in _checked(chosen)]
    plans = {len(each.nodes): session.plan(each, sanitizers) for each in topologies}

    def work(matrix: Matrix, folder: Path) -> tuple[tuple[Cell, ...], tuple[Judgement, ...]]:
        gate = MemoryGate(available_memory())
        boots = HostBoots(matrix, what, sanitizers, plans, folder, gate)
        slowness = max(plan.slowness for plan in plans.values())
        checks = [CheckPlan(each, ops, seed, slowness=slowness) for each in held]
        check = CheckOracle(boots, checks, app.clock)
        judgements = Mutation(boots, baseline, (check,)).run(chosen)
        return tuple(boots.cells.values()), judgements

    guests = baseline * len(plans) + len(chosen)
    planned = Planned(what.source, mutants=tuple(mutant.name for mutant in chosen))
    return session.carry_out("mutants", guests, work, planned).exit_code


def _checked(mutants: Sequence[Mutant]) -> Iterator[Subsystem]:
    """The parts of the kernel that the mutants are in."""
    names = {mutant.name for mutant in mutants}
    return (each for each in SUBSYSTEMS if not names.isdisjoint(each.mutants))


def _chosen(patterns: tuple[str, ...]) -> list[Mutant]:
    """The mutants that the patterns name; all, if there are none.

    Raises:
        UsageError: a pattern that names none.
    """
    if not patterns:
        return list(all_mutants().values())
    names: dict[str, None] = {}
    for pattern in patterns:
        matching = fnmatch.filter(all_mutants(), pattern)
        names |= dict.fromkeys(matching or [find_mutant(pattern).name])
    return [all_mutants()[name] for name in names]


def _list(app: App, chosen: list[Mutant]) -> int:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("mutant", no_wrap=True)
    table.add_column("the kernel with it", overflow="fold")
    for mutant in chosen:
        only = f" (only for {mutant.only})" if mutant.only else ""
        table.add_row(mutant.name, mutant.description + only)
    app.paper.print(table)
    listed = [
        {
            "name": mutant.name,
            "description": mutant.description,
            "file": str(mutant.path),
            "function": mutant.function,
            "only": mutant.only,
            "equivalent": mutant.equivalent,
        }
        for mutant in chosen
    ]
    app.emit({"mutants": listed})
    return 0
