"""Mutants, judged by host programs alone: no kernel is built, nothing is booted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from harness.check.checker import CheckPlan
from harness.check.result import Conclusion
from harness.errors import InfraError, UsageError, given_with
from harness.host.progress import Recorded
from harness.image.media import BootMethod
from harness.mutation.generated import generated_mutants
from harness.mutation.judgement import Judgement, MutantOutcome
from harness.mutation.mutant import MutantRefused
from harness.mutation.oracle import judgement
from harness.onhost.build import NoHostProgramError
from harness.onhost.ending import EndingKind
from harness.onhost.layout import HostLayout, layout_of
from harness.onhost.run import ProgramLimits, ProgramRunner
from harness.onhost.search import HostSearch
from harness.results.unfinished import Planned, keep_judgement
from harness.runs.guests import GuestRequest, Guests
from harness.runs.mutants import chosen_mutants
from harness.runs.onhost import transcripts_of
from harness.runs.oracles import UNMUTATED
from harness.runs.recording import Recorder, RunResult
from harness.runs.view import Unseen, View
from harness.sanitizers import NONE
from harness.subsystems.specifications import AUTO

if TYPE_CHECKING:
    from pathlib import Path

    from harness.cedit.mutations import Exchanges
    from harness.check.result import CheckResult
    from harness.mutation.mutant import Mutant
    from harness.onhost.programs import HostProgram
    from harness.onhost.variations import ProgramVariations
    from harness.provide.provider import Provider
    from harness.results.record import Cell
    from harness.runs.environment import Environment
    from harness.runs.matrix import Matrix
    from harness.source.request import KernelRequest
    from harness.subsystems.subsystem import Subsystem

#: Mutants at once; each takes a processor.
_JOBS: Final = 2
#: A mutant that loops is ended after so many seconds of CPU time.
_LIMITS: Final = ProgramLimits(patience=1)
#: A machine with a domain without memory: branches that no other takes.
_WITH_EMPTY: Final = HostLayout(3, (0, 0, 1, 1, 2, 2), empty=0b010)
_SAME_OBJECT: Final = "it compiles to the same object"
#: The oracle that an ending is of.
_ORACLES: Final = {
    EndingKind.PANIC: "assertion",
    EndingKind.INVARIANT: "invariant",
    EndingKind.ASLEEP: "invariant",
}


@dataclass(frozen=True, slots=True)
class HostMutantsRequest:
    """Mutants that host programs judge.

    Args:
        what: the kernel without a mutant.
        patterns: names of mutants; none: all.
        generated: whether mutants are generated, instead of those that have a name.
        function: the one function whose mutants are generated; None: all that can be.
        guest: the machine, beside one with a domain without memory; 2 nodes if neither numbers nor
            a file are named.
        operations: of a check.
        seed: of the random traces.
    """

    what: KernelRequest
    patterns: tuple[str, ...] = ()
    generated: bool = False
    function: str | None = None
    guest: GuestRequest = field(default_factory=GuestRequest)
    operations: int = 20_000
    seed: int = 1


def host_mutants(
    request: HostMutantsRequest, env: Environment, view: View | None = None
) -> RunResult:
    """Compile every mutant as a host program, and hold it to the model.

    Raises:
        UsageError: what the request names is at fault.
        InfraError: the host failed, or the tree does not compile without a mutant.
    """
    view = view or Unseen()
    recorder, what = Recorder(env, view), request.what
    provider = env.kernels(view.note).provider(what)
    functions = _functions(request, provider)
    guests = Guests.of(env, view, request.guest, what, BootMethod.DIRECT)
    layouts = [layout_of(each.guest_domains()) for each in guests.topologies(NONE, "2")]
    layouts.append(_WITH_EMPTY)
    held = {
        each.name: provider.specification(each, what, AUTO)
        for each in provider.subsystems if each.on_host is not None
    }  # fmt: skip
    plans = {
        name: CheckPlan(specification, request.operations, request.seed)
        for name, specification in held.items()
        if specification.is_modelled  # its findings need not be of the mutant
    }

    def work(matrix: Matrix, directory: Path) -> tuple[tuple[Cell, ...], tuple[Judgement, ...]]:
        progress = matrix.rows.row("host program")
        with (
            provider.host_variations(what, progress) as variations,
            env.workspace.scratch("onhost-run") as scratch,
        ):
            chosen = _chosen(request, functions, variations)
            if env.retry is not None:
                chosen = [mutant for mutant in chosen if mutant.name in env.retry.cells]
            judge = _Judge(
                env, variations, layouts, plans, provider.subsystems, scratch,
                variations.functions(),
            )  # fmt: skip
            found = [each for each in (judge.false_alarm(),) if each is not None]
            for number, each in enumerate(judge.all(chosen), start=1):
                keep_judgement(directory, each)
                found.append(each)
                progress.detail(f"{number} of {len(chosen)} mutants")
        matrix.rows.done("host program", f"{len(chosen)} mutants judged", good=True)
        return (), tuple(found)

    return recorder.carry_out("mutants", guests, 0, work, Planned(what.source))


def _functions(request: HostMutantsRequest, provider: Provider) -> list[tuple[str, str, Exchanges]]:
    """The file and the name of each function whose mutants are generated, and what is exchanged."""
    if not request.generated:
        return []
    functions = [
        (path, function, part.exchanges)
        for each in provider.subsystems
        if (part := each.on_host) is not None
        for path, names in part.functions.items()
        for function in names
        if request.function in (None, function)
    ]
    if not functions:
        with given_with("--function"):
            raise UsageError(
                f"no mutants of {request.function}() are generated",
                remedy="leave --function out to generate those of all followed functions",
            )
    return functions


def _chosen(
    request: HostMutantsRequest,
    functions: Sequence[tuple[str, str, Exchanges]],
    variations: ProgramVariations,
) -> list[Mutant]:
    if not request.generated:
        return chosen_mutants(request.patterns)
    texts = {path: variations.text(path) for path, _, _ in functions}
    return [
        mutant
        for path, function, exchanges in functions
        for mutant in generated_mutants(path, texts[path], function, exchanges)
    ]


@dataclass(frozen=True, slots=True)
class _Judge:
    """Judges mutants of one tree.

    Args:
        env: the host.
        variations: makes their programs.
        layouts: of the machines, in turn.
        plans: what is checked, by subsystem.
        subsystems: that the program has.
        scratch: the one directory that programs may write to.
        functions: of the tree.
    """

    env: Environment
    variations: ProgramVariations
    layouts: Sequence[HostLayout]
    plans: dict[str, CheckPlan]
    subsystems: Sequence[Subsystem]
    scratch: Path
    functions: frozenset[str]

    def false_alarm(self) -> Judgement | None:
        """What kills the program without a mutant, if anything does; what agrees is kept."""
        for plan in self.plans.values():
            for layout in self.layouts:
                found = self._checked(self.variations.unchanged(), plan, layout)
                if not found.agreed:
                    oracle, why = self._oracle(found), "it has no mutant in it"
                    return Judgement(
                        UNMUTATED, MutantOutcome.CAUGHT, oracle, found.seconds, found.why, why
                    )
        return None

    def all(self, mutants: Sequence[Mutant]) -> Iterator[Judgement]:
        """Generate the result of each mutant, in order."""
        with ThreadPoolExecutor(_JOBS) as pool:
            yield from pool.map(self.judged, mutants)

    def judged(self, mutant: Mutant) -> Judgement:
        """The result of one mutant."""
        clock = self.env.clock
        started, path = clock.monotonic(), str(mutant.path)
        if not any(path in part.follows for each in self.subsystems if (part := each.on_host)):
            return judgement(mutant, MutantOutcome.ABSENT, f"{path} is not in the host program")
        try:
            text = mutant.apply(self.variations.text(path))
            program = self.variations.program(path, text)
        except MutantRefused as refused:
            return judgement(mutant, MutantOutcome.ABSENT, refused.message)
        except NoHostProgramError as error:
            return judgement(mutant, MutantOutcome.UNBUILT, str(error))
        if program is None:
            return _equivalent(mutant, clock.monotonic() - started)
        try:
            return self._of_program(mutant, program, lambda: clock.monotonic() - started)
        except InfraError as error:
            return judgement(mutant, MutantOutcome.HOST_FAILED, str(error))
        finally:
            self.variations.discard(program)

    def _of_program(
        self, mutant: Mutant, program: HostProgram, seconds: Callable[[], float]
    ) -> Judgement:
        for plan in self._plans_for(str(mutant.path)):
            for layout in self.layouts:
                found = self._checked(program, plan, layout)
                if found.agreed:
                    continue
                why, oracle = f"{mutant.description}: {found.why}", self._oracle(found)
                fate = MutantOutcome.CAUGHT if oracle else MutantOutcome.ENDED
                return judgement(mutant, fate, why, oracle, seconds())
        return judgement(mutant, MutantOutcome.SURVIVED, mutant.description, seconds=seconds())

    def _plans_for(self, path: str) -> Iterator[CheckPlan]:
        """The checks that may tell a change of a file, the part whose own it is first."""
        parts = [part for each in self.subsystems if (part := each.on_host) is not None]
        following = (part for part in parts if path in part.follows)
        for part in sorted(following, key=lambda part: path not in part.functions):
            if part.name in self.plans:
                yield self.plans[part.name]

    def _oracle(self, found: CheckResult) -> str:
        """What kills the mutant; empty: nothing, as a limit of the host's or a trap ended it.

        Where a function of the tree's own accesses no memory, a guest's kernel traps and panics.
        """
        if found.conclusion is Conclusion.DIFFERS or found.host is None:
            return "model"
        kind, frames = EndingKind(found.host.kind), found.host.frames
        if kind is EndingKind.SIGNAL and frames and frames[0] in self.functions:
            return "fault"
        return _ORACLES.get(kind, "")

    def _checked(self, program: HostProgram, plan: CheckPlan, layout: HostLayout) -> CheckResult:
        env = self.env
        runner = ProgramRunner(
            program, layout, env.runner, self.scratch, env.sandboxed, limits=_LIMITS
        )
        transcripts = transcripts_of(env, plan, layout, program.identity.release)
        search = HostSearch(plan, runner, transcripts, env.clock, Recorded(), shrinks=False)
        return search.run()


def _equivalent(mutant: Mutant, seconds: float) -> Judgement:
    same = mutant.equivalent or _SAME_OBJECT
    found = judgement(mutant, MutantOutcome.SURVIVED, mutant.description, seconds=seconds)
    return replace(found, equivalent=same)
