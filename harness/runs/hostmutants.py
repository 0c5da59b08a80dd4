"""Mutants, judged by host programs alone: no kernel is built, nothing is booted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from harness.cedit.definitions import definitions
from harness.check.checker import CheckPlan
from harness.errors import UsageError, given_with
from harness.mutation.generated import generated_mutants, sampled
from harness.mutation.reasons import read_reasons
from harness.onhost.instrumentation import Instrumentation
from harness.onhost.layout import HostLayout, layout_of
from harness.onhost.part import owner_of
from harness.results.unfinished import Planned, keep_judgement
from harness.runs.coverage import HostCoverage
from harness.runs.guests import GuestRequest, Guests
from harness.runs.hostjudge import HostJudge
from harness.runs.mutants import chosen_mutants
from harness.runs.recording import Recorder, RunResult
from harness.runs.view import Unseen, View
from harness.sanitizers import NONE
from harness.subsystems.specifications import AUTO

if TYPE_CHECKING:
    from pathlib import Path

    from harness.mutation.judgement import Judgement
    from harness.mutation.mutant import Mutant
    from harness.onhost.coverage import Coverage
    from harness.onhost.part import HostPart
    from harness.onhost.programs import HostProgram
    from harness.onhost.variations import ProgramVariations
    from harness.results.record import Cell
    from harness.runs.environment import Environment
    from harness.runs.matrix import Matrix
    from harness.source.request import KernelRequest

#: A machine with a domain without memory: branches that no other takes.
_WITH_EMPTY: Final = HostLayout(3, (0, 0, 1, 1, 2, 2), empty=0b010)


@dataclass(frozen=True, slots=True)
class HostMutantsRequest:
    """Mutants that host programs judge.

    Args:
        what: the kernel without a mutant.
        patterns: names of mutants; none: all.
        generated: whether mutants are generated, instead of those that have a name.
        function: the one function whose mutants are generated; None: all that can be.
        subsystem: the one subsystem whose functions are changed; None: all.
        sample: how many of the generated mutants are judged, drawn by the seed; None: all.
        guest: the machine, beside one with a domain without memory; 2 nodes if neither numbers nor
            a file are named.
        operations: of a check.
        seed: of the random traces, and of the sample.
    """

    what: KernelRequest
    patterns: tuple[str, ...] = ()
    generated: bool = False
    function: str | None = None
    subsystem: str | None = None
    sample: int | None = None
    guest: GuestRequest = field(default_factory=GuestRequest)
    operations: int = 20_000
    seed: int = 1


def host_mutants(
    request: HostMutantsRequest, env: Environment, view: View | None = None
) -> RunResult:
    """Compile every mutant as a host program, and hold it to the model and the invariants.

    Raises:
        UsageError: what the request names is at fault.
        InfraError: the host failed, or the tree does not compile without a mutant.
    """
    view = view or Unseen()
    recorder, what = Recorder(env, view), request.what
    provider = env.kernels(view.note).provider(what)
    parts = [part for each in provider.subsystems if (part := each.on_host) is not None]
    _require_followed(request, parts)
    guests = Guests.of(env, view, request.guest, what)
    layouts = [layout_of(each.guest_domains()) for each in guests.topologies(NONE, "2")]
    layouts.append(_WITH_EMPTY)
    held = {
        each.name: provider.specification(each, what, AUTO)
        for each in provider.subsystems if each.on_host is not None
    }  # fmt: skip
    plans = {
        name: CheckPlan(specification, request.operations, request.seed)
        for name, specification in held.items()
    }

    def work(matrix: Matrix, directory: Path) -> tuple[tuple[Cell, ...], tuple[Judgement, ...]]:
        progress = matrix.rows.row("host program")
        covered = None
        if request.generated:
            counting = Instrumentation(covered=True)
            covered = provider.host_program(what, progress, request.operations, counting)
        with (
            provider.host_variations(what, progress) as variations,
            env.workspace.scratch("onhost-run") as scratch,
        ):
            chosen = _chosen(request, parts, variations)
            if env.retry is not None:
                chosen = [mutant for mutant in chosen if mutant.name in env.retry.cells]
            judge = HostJudge(
                env, variations, layouts, plans, provider.subsystems, scratch,
                variations.functions(),
            )  # fmt: skip
            found = [each for each in (judge.prepared(progress),) if each is not None]
            if covered is not None:
                progress.detail("measures coverage")
                judge.coverage = _coverage(judge, covered)
            for number, each in enumerate(judge.all(chosen), start=1):
                keep_judgement(directory, each)
                found.append(each)
                progress.detail(f"{number} of {len(chosen)} mutants")
        matrix.rows.done("host program", f"{len(chosen)} mutants judged", good=True)
        return (), tuple(found)

    return recorder.carry_out("mutants", guests, 0, work, Planned(what.source))


def _require_followed(request: HostMutantsRequest, parts: Sequence[HostPart]) -> None:
    """Check that the function's mutants can be generated.

    Raises:
        UsageError: no part follows it, or one of another subsystem.
    """
    function = request.function
    if function is None:
        return
    paths = dict.fromkeys(path for part in parts for path in part.functions)
    owners = {owner.name for path in paths if (owner := owner_of(parts, path, function))}
    if not owners:
        with given_with("--function"):
            raise UsageError(
                f"no mutants of {function}() are generated",
                remedy="leave --function out to generate those of all followed functions",
            )
    if request.subsystem is not None and request.subsystem not in owners:
        with given_with("--subsystem"):
            raise UsageError(
                f"{function}() is a function of {' and '.join(sorted(owners))}, not of "
                f"{request.subsystem}",
                remedy="leave --subsystem out",
            )


def _coverage(judge: HostJudge, program: HostProgram) -> Coverage:
    """Return what everything that mutants are checked with executes of the unchanged code."""
    parts = [part for each in judge.subsystems if (part := each.on_host) is not None]
    measured = HostCoverage(judge.env, parts)
    with judge.env.workspace.scratch("onhost-run") as scratch:
        replace(judge, scratch=scratch).execute(program)
        measured.collect(scratch)
    return measured.measured(program)


def _chosen(
    request: HostMutantsRequest, parts: Sequence[HostPart], variations: ProgramVariations
) -> list[Mutant]:
    if not request.generated:
        return chosen_mutants(request.patterns)
    found: list[Mutant] = []
    for part in parts:
        reasons = read_reasons(part.reasons)
        for path in part.functions if request.subsystem in (None, part.name) else ():
            text = variations.text(path)
            for name in definitions(text):
                asked = request.function in (None, name)
                if asked and owner_of(parts, path, name) is part:
                    found += generated_mutants(path, text, name, part.exchanges, reasons)
    return found if request.sample is None else sampled(found, request.sample, request.seed)
