"""``harness model``: the reference model without a guest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from harness.cli.commandgroup import CommandGroup
from harness.cli.completion import complete_vms
from harness.cli.options import (
    FILE,
    change_options,
    common_options,
    source_options,
)
from harness.cli.sanitizers import AskedSanitizers, sanitizer_options
from harness.errors import UsageError, given_with
from harness.guest.topology import MEMORY_MIB_PER_NODE, Topology, parse_node_counts
from harness.results.lines import print_line
from harness.runs.checkplans import subsystem_of
from harness.runs.guests import GuestRequest, named_vm, sanitizers_of
from harness.source.change import Change
from harness.source.request import KernelRequest
from harness.subsystems.table import SUBSYSTEMS, find_subsystem, subsystem_of_trace, trace_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.cli.app import App
    from harness.sanitizers import Sanitizers
    from harness.subsystems.models import BootModel, BootPrediction, SearchedStates

_SEARCHES = {each.name: search for each in SUBSYSTEMS if (search := each.state_search) is not None}
"""Functions that explore states, by subsystem."""


@click.group(cls=CommandGroup)
def model() -> None:
    """Use the reference model alone: predict boots, run traces, explore states.

    \b
    Examples:
      harness model predict --numa 1-8 --kasan
      harness model trace FILE
      harness model explore --domains 3 --slabs 2 --depth 8
    """


# --- predict ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Code:
    """The prediction function of the requested code, its origin, and the guest.

    ``assumed``: the form is the baseline's.
    """

    subsystem: str
    model: BootModel
    why: tuple[str, ...]
    guest: str
    assumed: bool = False


@model.command()
@source_options
@change_options
@sanitizer_options
@click.option("--numa", metavar="N,…", help="Numbers of NUMA nodes: 4, or 1,2,4, or 1-8.")
@click.option(
    "--vm",
    metavar="NAME|FILE",
    help="Use a guest of vmconfigs/ instead.",
    shell_complete=complete_vms,
)
@click.option("--spec", metavar="auto|as-built|NAME|REV",
              help="Predict for another specification; see harness check --help.")  # fmt: skip
@click.option("--subsystem", type=click.Choice([each.name for each in SUBSYSTEMS]),
              help="The subsystem of the model.  [default: the first that can]")  # fmt: skip
@common_options
def predict(
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
    """Predict which topologies panic at boot, and in which allocation, without booting.

    For code without a known form, the prediction for its baseline is printed, marked as assumed.

    \b
    Examples:
      harness model predict --source embedded --mutant drop-commit --numa 1-8
      harness model predict --mutant drop-commit --kasan --numa 1,2,4
      harness model predict --vm numa4-kasan
    """
    vm, spec, subsystem = options.pop("vm"), options.pop("spec"), options.pop("subsystem")
    sanitizers, topologies = _guests(numa, vm, asked)
    if options.pop("kernel_options") or kernconf is not None:
        app.warn("--kernconf and --option are ignored: only sanitizers affect the prediction")
    what = KernelRequest(app.existing_source(source), Change(revision, patch, mutant))
    code = _read(app, what, spec, sanitizers, subsystem)
    form, mark = code.model, ", assumed" if code.assumed else ""
    app.paper.print(f"{code.guest}: {form.form} ({form.proof}{mark})", markup=False)
    for line in code.why:
        print_line(app.paper, f"  {line}")
    predictions = [form.predict(topology) for topology in topologies]
    for topology, prediction in zip(topologies, predictions, strict=True):
        _print_prediction(app, topology, prediction)
    app.emit(_predictions_document(code, sanitizers, topologies, predictions))
    return 0


def _guests(
    numa: str | None, vm: str | None, asked: AskedSanitizers
) -> tuple[Sanitizers, list[Topology]]:
    config = named_vm(GuestRequest(numa=numa, vm=vm))
    sanitizers = sanitizers_of(asked.of_kernel(), config)
    if config is not None:
        return sanitizers, [config.topology]
    with given_with("--numa"):
        counts = parse_node_counts(numa or "1-8")
    return sanitizers, [Topology.even(count, 1, MEMORY_MIB_PER_NODE) for count in counts]


def _read(
    app: App, what: KernelRequest, spec: str | None, sanitizers: Sanitizers, subsystem: str | None
) -> _Code:
    """Return the prediction function for a tree, the built-in guest, or the form of ``--spec``.

    Raises:
        UsageError: the subsystem's model predicts no boots, or no subsystem's does.
    """
    provider = app.kernels(app.messages.say).provider(what)
    among = [subsystem_of(subsystem, provider)] if subsystem else provider.subsystems
    for each in among:
        known = provider.code(each, what, spec)
        found = each.boot_model(known.facts.values, sanitizers, is_freebsd=known.is_freebsd)
        if found is not None:
            why = (*known.why, *(found.description if known.is_freebsd else ()))
            return _Code(each.name, found, why, known.guest, assumed=bool(known.facts.assumed))
    raise UsageError(
        f"the model of {subsystem} predicts no boots" if subsystem
        else f"no model predicts boots of {provider.title}",
        remedy="leave --subsystem out" if subsystem else "name a FreeBSD tree with --source",
    )  # fmt: skip


def _print_prediction(app: App, topology: Topology, prediction: BootPrediction) -> None:
    nodes = len(topology.nodes)
    line = f"{nodes} {'node' if nodes == 1 else 'nodes'}: {prediction.outcome}"
    line += f": {prediction.title}" if prediction.title else ""
    print_line(app.paper, f"{line}; {prediction.why}")


def _predictions_document(
    code: _Code,
    sanitizers: Sanitizers,
    topologies: list[Topology],
    predictions: list[BootPrediction],
) -> Mapping[str, Any]:
    return {
        "guest": code.guest,
        "sanitizer": str(sanitizers),
        "subsystem": code.subsystem,
        "variant": code.model.form,
        "proof": code.model.proof,
        "assumed": code.assumed,
        "read": code.why,
        "predictions": [
            {
                "nodes": len(topology.nodes),
                "domains": [domain.memory_mib for domain in topology.guest_domains()],
                "outcome": prediction.outcome,
                "title": prediction.title,
                "why": prediction.why,
                **prediction.values,
            }
            for topology, prediction in zip(topologies, predictions, strict=True)
        ],
    }


# --- trace ------------------------------------------------------------------------------------


@model.command()
@click.argument("file", type=FILE)
@click.option("--variant", metavar="NAME", help="Use another form of the code than the trace's.")
@click.option("--subsystem", type=click.Choice([each.name for each in SUBSYSTEMS]),
              help="The trace's subsystem.  [default: the one that the file names]")  # fmt: skip
@common_options
def trace(app: App, file: Path, variant: str | None, subsystem: str | None) -> int:
    """Run a trace in its subsystem's model, and print the result of each step with its reason.

    \b
    Examples:
      harness model trace FILE
      harness model trace FILE --variant 15-before
      harness model trace FILE --subsystem domainset
    """
    text = trace_text(file)
    found = subsystem_of_trace(text) if subsystem is None else find_subsystem(subsystem)
    if variant is not None:
        with given_with("--variant"):
            found.variant(variant)  # raises if there is no such variant
    run = found.run_in_model(text, variant)
    app.paper.print(f"{found.name}: {run.variant} ({run.proof})", markup=False)
    steps = []
    for step in run.steps:
        steps.append(asdict(step))
        app.paper.print(f"{step.number:4} {escape(step.operation)}: [bold]{step.result}[/]")
        for reason in step.why:
            print_line(app.paper, f"       {reason}")
    told = {"subsystem": found.name, "variant": run.variant, "proof": run.proof}
    app.emit({**told, "steps": steps})
    return 0


# --- explore ----------------------------------------------------------------------------------


def _bound_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each bound; subsystems with a bound of that name share it."""
    bounds = {bound.name: bound for search in _SEARCHES.values() for bound in search.bounds}
    for bound in reversed(bounds.values()):
        option = click.option(
            f"--{bound.name}", type=click.IntRange(1, bound.most), metavar="N",
            default=bound.default, show_default=True, help=bound.help,
        )  # fmt: skip
        command = option(command)
    return command


@model.command("explore")
@_bound_options
@click.option("--variant", metavar="NAME", help="A form of the code.  [default: all forms]")
@click.option("--subsystem", type=click.Choice(list(_SEARCHES)), default=next(iter(_SEARCHES)),
              show_default=True, help="The subsystem whose states to explore.")  # fmt: skip
@common_options
def explore_command(app: App, variant: str | None, subsystem: str, **bounds: int) -> int:
    """Explore all states of a small setup; print a shortest trace for each broken property.

    \b
    Examples:
      harness model explore --domains 3 --slabs 2 --depth 8
      harness model explore --variant 15-before
    """
    search = _SEARCHES[subsystem]
    if variant is not None:
        with given_with("--variant"):
            find_subsystem(subsystem).variant(variant)  # raises if there is no such variant
    findings = []
    for found in search.run(variant, {bound.name: bounds[bound.name] for bound in search.bounds}):
        findings.append(_findings_document(found))
        _print_findings(app, found)
    app.emit({"subsystem": subsystem, "findings": findings})
    return 0


def _print_findings(app: App, found: SearchedStates) -> None:
    word = "a property is broken" if found.broken else "all properties hold"
    print_line(
        app.paper,
        f"{found.form} ({found.proof}), {found.start}: {word} "
        f"in {found.states} states, {found.operations} operations",
    )
    for broken in found.broken:
        print_line(app.paper, f"  broken: {broken.words}; shortest trace:")
        for line in broken.trace.splitlines():
            print_line(app.paper, f"    {line}")


def _findings_document(found: SearchedStates) -> Mapping[str, Any]:
    return {
        "variant": found.form,
        "proof": found.proof,
        "states": found.states,
        "operations": found.operations,
        "proven": not found.broken,
        "broken": {broken.name: broken.trace for broken in found.broken},
        **found.values,
    }
