"""``harness mutants``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from harness.cli.completion import complete_mutants, complete_revisions
from harness.cli.options import (
    FILE,
    common_options,
    guest_options,
    guest_request,
    named_kernel,
    source_options,
)
from harness.cli.publish import publish_run
from harness.cli.sanitizers import AskedSanitizers, sanitizer_options
from harness.cli.view import UserView
from harness.runs.mutants import MutantsRequest, chosen_mutants
from harness.runs.mutants import mutants as judge_mutants
from harness.source.change import Change

if TYPE_CHECKING:
    from harness.cli.app import App
    from harness.mutation.mutant import Mutant


@click.command()
@source_options
@click.option(
    "--rev",
    "revision",
    metavar="REV",
    help="A revision; default: the tree with uncommitted changes.",
    shell_complete=complete_revisions,
)
@click.option("--patch", type=FILE, help="Apply a patch file.")
@click.option(
    "--mutant",
    "patterns",
    multiple=True,
    metavar="NAME",
    help="Only these mutants, or a pattern: 'drop-*'.",
    shell_complete=complete_mutants,
)
@click.option("--list", "only_list", is_flag=True, help="List the mutants, and exit.")
@sanitizer_options
@click.option("--numa", metavar="N,…", help="Numbers of NUMA nodes: 4, or 2,4.  [default: 2]")
@guest_options
@click.option(
    "--baseline", type=click.IntRange(2, 100), metavar="N", default=3, show_default=True,
    help="Boots of the unchanged kernel, to measure its counters.",
)  # fmt: skip
@click.option("--ops", type=click.IntRange(1, 1_000_000), metavar="N", default=600,
              show_default=True,
              help="Operations of a check.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, (1 << 64) - 1), metavar="N", default=1,
              show_default=True,
              help="Seed of a check's random traces.")  # fmt: skip
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
    """Test all mutants of a tree: which are killed, by what, how fast.

    Three oracles judge a mutant in turn: boot (the outcome predicted without the mutant), counters
    (of zones with a reserve, compared with the unchanged kernel and the model), check (each
    operation compared with the model). Kernels are cached, so a second run only boots.

    \b
    Examples:
      harness mutants --list
      harness mutants --numa 2,4 --kasan
      harness mutants --source ~/src --mutant 'drop-*' --numa 2 --kasan
    """
    only_list, baseline = options.pop("only_list"), options.pop("baseline")
    operations, seed = options.pop("ops"), options.pop("seed")
    chosen = chosen_mutants(patterns)
    if only_list:
        return _list(app, chosen)
    request = MutantsRequest(
        named_kernel(
            app,
            source,
            kernconf,
            Change(revision, patch),
            kernel_options=options.pop("kernel_options"),
        ),
        patterns,
        guest_request(options, numa),
        asked.of_kernel(),
        baseline,
        operations,
        seed,
    )
    result = judge_mutants(request, app, UserView(app))
    publish_run(app, result)
    return result.exit_code


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
