"""``harness model``: the reference model without a guest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from harness.cli.completion import complete_vms
from harness.cli.options import (
    FILE,
    change_options,
    common_options,
    source_options,
)
from harness.cli.sanitizers import AskedSanitizers, sanitizer_options
from harness.errors import given_with
from harness.guest.topology import MEMORY_MIB_PER_NODE, Topology, parse_node_counts
from harness.results.text import print_line
from harness.runs.guests import GuestRequest, named_vm, sanitizers_of
from harness.source.change import Change
from harness.source.request import KernelRequest
from harness.subsystems.table import SUBSYSTEMS, find_subsystem, subsystem_of_trace, trace_text
from harness.subsystems.uma.expectation import Booting, predict_on, variant_of
from harness.subsystems.uma.model.explore import Bounds, Exploration, explore
from harness.subsystems.uma.model.variants import VARIANTS, Variant, find_variant
from harness.subsystems.uma.prediction import PANIC, Prediction
from harness.subsystems.uma.subsystem import UMA

if TYPE_CHECKING:
    from harness.cli.app import App
    from harness.sanitizers import Sanitizers

_VARIANT = click.option(
    "--variant", metavar="NAME", help=f"A form of the code: {', '.join(VARIANTS)}."
)


@click.group()
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
    """The form of the code that is predicted, its origin, and the guest.

    ``assumed``: the form is that of the baseline.
    """

    variant: Variant
    why: tuple[str, ...]
    guest: str
    kind: Booting
    assumed: bool = False


@model.command()
@source_options
@change_options
@sanitizer_options
@click.option("--numa", metavar="N,…", help="Numbers of NUMA nodes: 4, or 1,2,4, or 1-8.")
@click.option(
    "--vm", metavar="NAME|FILE", help="A guest of vmconfigs/ instead.", shell_complete=complete_vms
)
@click.option("--spec", metavar="auto|as-built|NAME|REV",
              help="Predict for another specification; see harness check --help.")  # fmt: skip
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
    vm, spec = options.pop("vm"), options.pop("spec")
    sanitizers, topologies = _guests(numa, vm, asked)
    if options.pop("kernel_options") or kernconf is not None:
        app.warn("--kernconf and --option are ignored: only sanitizers affect the prediction")
    what = KernelRequest(app.existing_source(source), Change(revision, patch, mutant))
    code = _read(app, what, spec, sanitizers)
    mark = ", assumed" if code.assumed else ""
    app.paper.print(f"{code.guest}: {code.variant.name} ({code.variant.proof}{mark})", markup=False)
    for line in code.why:
        app.paper.print(f"  {line}", markup=False)
    predictions = [predict_on(code.variant, topology, code.kind) for topology in topologies]
    for topology, prediction in zip(topologies, predictions, strict=True):
        _print_prediction(app, topology, prediction)
    app.emit(_predictions_document(code, sanitizers, topologies, predictions))
    return 0


def _named(variant: str | None) -> Variant | None:
    with given_with("--variant"):
        return find_variant(variant) if variant else None


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


def _read(app: App, what: KernelRequest, spec: str | None, sanitizers: Sanitizers) -> _Code:
    """Return the form of a tree or the built-in guest, or the one that ``--spec`` names."""
    known = app.kernels(app.messages.say).provider(what).code(UMA, what, spec)
    variant = variant_of(known.facts.values)
    kind = Booting.of(sanitizers, is_freebsd=known.is_freebsd)
    why = (*known.why, *(variant.description() if known.is_freebsd else ()))
    return _Code(variant, why, known.guest, kind, assumed=bool(known.facts.assumed))


def _print_prediction(app: App, topology: Topology, prediction: Prediction) -> None:
    nodes = len(topology.nodes)
    line = f"{nodes} {'node' if nodes == 1 else 'nodes'}: "
    line += prediction.in_words
    if prediction.panics:
        line += f": {PANIC}: {prediction.allocation}"
    print_line(app.paper, f"{line}; {prediction.why}")


def _predictions_document(
    code: _Code,
    sanitizers: Sanitizers,
    topologies: list[Topology],
    predictions: list[Prediction],
) -> Mapping[str, Any]:
    return {
        "guest": code.guest,
        "sanitizer": str(sanitizers),
        "variant": code.variant.name,
        "proof": code.variant.proof,
        "assumed": code.assumed,
        "read": code.why,
        "predictions": [
            {
                "nodes": len(topology.nodes),
                "domains": [domain.memory_mib for domain in topology.guest_domains()],
                "outcome": prediction.in_words,
                "allocation": prediction.allocation,
                "why": prediction.why,
                "slabs": prediction.slabs,
                "late": prediction.late,
                "later": sorted(prediction.later),
            }
            for topology, prediction in zip(topologies, predictions, strict=True)
        ],
    }


# --- trace ------------------------------------------------------------------------------------


@model.command()
@click.argument("file", type=FILE)
@click.option("--variant", metavar="NAME", help="Another form of the code than the trace names.")
@click.option("--subsystem", type=click.Choice([each.name for each in SUBSYSTEMS]),
              help="What the trace is of.  [default: as the file says]")  # fmt: skip
@common_options
def trace(app: App, file: Path, variant: str | None, subsystem: str | None) -> int:
    """Run a trace of any subsystem in its model, and print what each step comes to, and why.

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
            app.paper.print(f"       {reason}", markup=False)
    told = {"subsystem": found.name, "variant": run.variant, "proof": run.proof}
    app.emit({**told, "steps": steps})
    return 0


# --- explore ----------------------------------------------------------------------------------


@model.command("explore")
@click.option("--domains", type=click.IntRange(1, 8), metavar="N", default=3, show_default=True)
@click.option("--slabs", type=click.IntRange(1, 4), metavar="N", default=2, show_default=True,
              help="Slabs that each domain has memory for.")  # fmt: skip
@click.option("--depth", type=click.IntRange(1, 20), metavar="N", default=8, show_default=True,
              help="Operations in a row.")  # fmt: skip
@_VARIANT
@common_options
def explore_command(app: App, domains: int, slabs: int, depth: int, variant: str | None) -> int:
    """Explore all states of a small zone; print a shortest trace for each broken property.

    \b
    Examples:
      harness model explore --domains 3 --slabs 2 --depth 8
      harness model explore --variant 15-before
    """
    named = _named(variant)
    chosen = [named] if named else list(VARIANTS.values())
    findings = []
    for each in chosen:
        for hashed in (False, True):
            found = explore(each, Bounds(domains, slabs, depth, hashed))
            findings.append(_findings_document(found))
            _print_findings(app, found)
    app.emit({"findings": findings})
    return 0


def _print_findings(app: App, found: Exploration) -> None:
    zone = "one list of slabs (UMA_ZFLAG_HASH)" if found.bounds.hashed else "lists by domain"
    word = "all properties hold" if found.proven else "a property is broken"
    app.paper.print(
        f"{found.variant.name} ({found.variant.proof}), {zone}: {word} "
        f"in {found.states} states, {found.operations} operations", markup=False,
    )  # fmt: skip
    for what, shortest in found.broken.items():
        app.paper.print(f"  broken: {what}; shortest trace:", markup=False)
        for line in str(shortest).splitlines():
            app.paper.print(f"    {line}", markup=False)


def _findings_document(found: Exploration) -> Mapping[str, Any]:
    return {
        "variant": found.variant.name,
        "proof": found.variant.proof,
        "hashed": found.bounds.hashed,
        "states": found.states,
        "operations": found.operations,
        "proven": found.proven,
        "broken": {what.name.lower(): str(shortest) for what, shortest in found.broken.items()},
    }
