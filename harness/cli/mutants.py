"""``harness mutants``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
from harness.errors import UsageError
from harness.results.lines import print_line
from harness.runs.hostmutants import HostMutantsRequest, host_mutants
from harness.runs.mutants import MutantsRequest, chosen_mutants
from harness.runs.mutants import mutants as judge_mutants
from harness.source.change import Change
from harness.subsystems.table import SUBSYSTEMS

#: Operations of a check.
_IN_GUEST = 600
_ON_HOST = 20_000

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
@click.option("--on", type=click.Choice(["guest", "host"]), default="guest", show_default=True,
              help="Judge by guests, or by host programs alone, in seconds.")  # fmt: skip
@click.option("--generated", is_flag=True,
              help="Generate every small change of the followed functions, and judge it on the "
              "host.")  # fmt: skip
@click.option("--function", metavar="NAME", help="With --generated: of this function only.")
@click.option("--subsystem", type=click.Choice([each.name for each in SUBSYSTEMS]),
              help="With --generated: of this subsystem's functions only.")  # fmt: skip
@click.option("--sample", type=click.IntRange(1, 100_000), metavar="N",
              help="With --generated: only N of them, drawn by --seed.")  # fmt: skip
@click.option("--ops", type=click.IntRange(1, 1_000_000), metavar="N",
              help="Operations of a check.  [default: 600, on the host 20000]")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, (1 << 64) - 1), metavar="N", default=1,
              show_default=True,
              help="Seed of a check's random traces, and of --sample.")  # fmt: skip
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
      harness mutants --generated --function vm_domainset_iter_rr
      harness mutants --generated --subsystem uma --sample 100
      harness check --mutant 'vm_domainset_iter_rr#1' --numa 2
    """
    only_list, baseline = options.pop("only_list"), options.pop("baseline")
    operations, seed = options.pop("ops"), options.pop("seed")
    on_host, generated = options.pop("on") == "host", options.pop("generated")
    of = {name: options.pop(name) for name in ("function", "subsystem", "sample")}
    _require_generated(patterns, of, generated=generated, only_list=only_list)
    chosen = chosen_mutants(patterns)
    if only_list:
        return _list(app, chosen)
    change = Change(revision, patch)
    kernel_options = options.pop("kernel_options")
    what = named_kernel(app, source, kernconf, change, kernel_options=kernel_options)
    guest = guest_request(options, numa)
    if on_host or generated:
        result = host_mutants(
            HostMutantsRequest(
                what, patterns, generated, guest=guest, operations=operations or _ON_HOST,
                seed=seed, **of,
            ),
            app, UserView(app),
        )  # fmt: skip
    else:
        request = MutantsRequest(
            what, patterns, guest, asked.of_kernel(), baseline, operations or _IN_GUEST, seed
        )
        result = judge_mutants(request, app, UserView(app))
    publish_run(app, result)
    return result.exit_code


def _require_generated(
    patterns: Sequence[str], of: Mapping[str, object], *, generated: bool, only_list: bool
) -> None:
    for name, value in of.items():
        if value is not None and not generated:
            raise UsageError(
                f"--{name} chooses among generated mutants, and none are generated",
                remedy="add --generated",
            )
    if generated and (patterns or only_list):
        option = "--mutant" if patterns else "--list"
        raise UsageError(
            f"{option} is about mutants that have a name, and --generated about others",
            remedy="leave one of them out; to test a generated one: harness check --mutant NAME#N",
        )


def _list(app: App, chosen: list[Mutant]) -> int:
    for mutant in chosen:
        only = f" (only for {mutant.only})" if mutant.only else ""
        print_line(app.paper, mutant.name, "bold")
        print_line(app.paper, f"    {mutant.description}{only}")
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
