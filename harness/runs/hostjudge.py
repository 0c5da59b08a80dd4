"""Judges mutants by host programs: compared with the model, then with the invariants of zones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from harness.check.result import Conclusion
from harness.errors import InfraError
from harness.host.progress import Recorded
from harness.mutation.generated import change_of
from harness.mutation.judgement import Judgement, MutantOutcome, Survival
from harness.mutation.mutant import MutantRefused
from harness.mutation.oracle import judgement
from harness.onhost.corpus import Corpus
from harness.onhost.ending import COSTLY, EndingKind, HostEnding
from harness.onhost.huntedprogram import HuntedProgram
from harness.onhost.run import ProgramLimits, ProgramRunner
from harness.onhost.search import HostSearch
from harness.onhost.treefiles import NoHostProgramError
from harness.runs.onhost import transcripts_of
from harness.runs.oracles import UNMUTATED

if TYPE_CHECKING:
    from pathlib import Path

    from harness.check.checker import CheckPlan
    from harness.check.result import CheckResult
    from harness.host.progress import Progress
    from harness.mutation.mutant import Mutant
    from harness.onhost.coverage import Coverage
    from harness.onhost.layout import HostLayout
    from harness.onhost.part import HostPart
    from harness.onhost.programs import HostProgram
    from harness.onhost.variations import ProgramVariations
    from harness.runs.environment import Environment
    from harness.subsystems.subsystem import Subsystem

#: Mutants at once; each takes a processor.
_JOBS: Final = 2
#: A mutant that loops is ended after so many seconds of CPU time.
_LIMITS: Final = ProgramLimits(patience=1)
_SAME_CODE: Final = "it compiles to the same object code"
#: The oracle that an ending is of.
_ORACLES: Final = {
    EndingKind.PANIC: "assertion",
    EndingKind.INVARIANT: "invariant",
    EndingKind.ASLEEP: "invariant",
}


@dataclass(frozen=True, slots=True)
class _Finding:
    """What a check of a mutant found.

    Args:
        oracle: what it kills the mutant by; empty for a limit of the program.
        why: the finding, in one line.
        is_costly: whether it takes seconds or gigabytes each time.
    """

    oracle: str
    why: str
    is_costly: bool = False


@dataclass(slots=True)
class HostJudge:
    """Judges mutants of one tree.

    Args:
        env: the host.
        variations: makes their programs.
        layouts: of the machines, in turn.
        plans: what is checked, by subsystem; those without a model last, by a corpus.
        subsystems: that the program has.
        scratch: the one directory that programs may write to.
        functions: of the tree.
        coverage: what the checks execute of the unchanged code, if it was measured.
    """

    env: Environment
    variations: ProgramVariations
    layouts: Sequence[HostLayout]
    plans: dict[str, CheckPlan]
    subsystems: Sequence[Subsystem]
    scratch: Path
    functions: frozenset[str]
    coverage: Coverage | None = None
    _corpora: dict[tuple[str, HostLayout], Corpus] = field(default_factory=dict)

    def prepared(self, progress: Progress) -> Judgement | None:
        """Run the unchanged program, and keep the results that mutants are compared with.

        Returns what kills it; if anything does, results of mutants mean nothing.
        """
        program = self.variations.unchanged()
        for name, plan in self.plans.items():
            for layout in self.layouts:
                progress.detail(f"{name} without a mutant")
                held = plan.specification
                if held.hunted is not None:
                    with self._hunted(program, plan, layout) as hunted:
                        self._corpora[name, layout] = Corpus.of(
                            hunted, plan.seed, plan.operations, held.harmless
                        )
                    continue
                found = self._differs(program, plan, layout)
                if found is not None:
                    why = "it has no mutant in it"
                    return Judgement(
                        UNMUTATED, MutantOutcome.CAUGHT, found.oracle, 0.0, found.why, why
                    )
        return None

    def execute(self, program: HostProgram) -> None:
        """Run the unchanged program with everything that a mutant is checked with."""
        for path in dict.fromkeys(path for each in self._parts() for path in each.follows):
            for check in self._checks(path, program):
                check()

    def all(self, mutants: Sequence[Mutant]) -> Iterator[Judgement]:
        """Generate the result of each mutant, in order."""
        with ThreadPoolExecutor(_JOBS) as pool:
            yield from pool.map(self.judged, mutants)

    def judged(self, mutant: Mutant) -> Judgement:
        """Return the result of one mutant."""
        clock = self.env.clock
        started, path = clock.monotonic(), str(mutant.path)
        if not any(path in part.follows for part in self._parts()):
            return judgement(mutant, MutantOutcome.ABSENT, f"{path} is not in the host program")
        try:
            text = mutant.apply(self.variations.text(path))
            program = self.variations.program(path, text)
        except MutantRefused as refused:
            return judgement(mutant, MutantOutcome.ABSENT, refused.message)
        except NoHostProgramError as error:
            return judgement(mutant, MutantOutcome.UNBUILT, str(error))
        except InfraError as error:
            return judgement(mutant, MutantOutcome.HOST_FAILED, str(error))
        try:
            if program is None:
                found = _survived(mutant, Survival.SAME_CODE, mutant.equivalent or _SAME_CODE)
            else:
                found = self._of_program(mutant, text, program)
            return replace(found, seconds=clock.monotonic() - started)
        except InfraError as error:
            return judgement(mutant, MutantOutcome.HOST_FAILED, str(error))
        finally:
            if program is not None:
                self.variations.discard(program)

    def _of_program(self, mutant: Mutant, text: bytes, program: HostProgram) -> Judgement:
        limit = ""
        for check in self._checks(str(mutant.path), program):
            found = check()
            if found is None:
                continue
            if found.oracle:
                why = f"{mutant.description}: {found.why}"
                return judgement(mutant, MutantOutcome.CAUGHT, why, found.oracle)
            limit = limit or found.why
            if found.is_costly:
                break
        if limit:
            why = f"{mutant.description}: {limit}"
            return judgement(mutant, MutantOutcome.ENDED, why)
        return self._survivor(mutant, text)

    def _survivor(self, mutant: Mutant, text: bytes) -> Judgement:
        """Return the result of a mutant that no check kills, and why it survives."""
        path = str(mutant.path)
        own = self.variations.text(path)
        change = change_of(mutant, own)
        if change is None:
            return judgement(mutant, MutantOutcome.SURVIVED, mutant.description)
        digests = (change.function, change.change)
        if mutant.equivalent:
            return _survived(mutant, Survival.BY_ARGUMENT, mutant.equivalent, digests)
        if self.variations.has_same_code(path, text):
            return _survived(mutant, Survival.SAME_CODE, _SAME_CODE, digests)
        is_missed = (
            self.coverage is not None
            and self.coverage.executed(path, change.line, change.column) is False
        )
        survival = Survival.NOT_REACHED if is_missed else Survival.NOT_OBSERVED
        return _survived(mutant, survival, "", digests)

    def _checks(self, path: str, program: HostProgram) -> Iterator[Callable[[], _Finding | None]]:
        """Generate checks that may kill a change of a file: those of the file's own part first, and
        those with a model before those without.
        """
        for plan in self._plans_for(path):
            hunted = not plan.specification.is_modelled
            for layout in self.layouts:
                yield partial(self._breaks if hunted else self._differs, program, plan, layout)

    def _plans_for(self, path: str) -> list[CheckPlan]:
        following = [
            part for part in self._parts() if path in part.follows and part.name in self.plans
        ]
        following.sort(key=lambda part: path not in part.functions)
        plans = [self.plans[part.name] for part in following]
        return sorted(plans, key=lambda plan: not plan.specification.is_modelled)

    def _parts(self) -> list[HostPart]:
        return [part for each in self.subsystems if (part := each.on_host) is not None]

    # --- checks -------------------------------------------------------------------------------

    def _differs(
        self, program: HostProgram, plan: CheckPlan, layout: HostLayout
    ) -> _Finding | None:
        """Compare a program with the model."""
        runner = self._runner(program, layout)
        transcripts = transcripts_of(self.env, plan, layout, program.identity.release)
        search = HostSearch(plan, runner, transcripts, self.env.clock, Recorded(), shrinks=False)
        found: CheckResult = search.run()
        if found.agreed:
            return None
        if found.conclusion is Conclusion.DIFFERS or found.host is None:
            return _Finding("model", found.why)
        kind = EndingKind(found.host.kind)
        return _Finding(self._oracle(kind, found.host.frames), found.why, kind in COSTLY)

    def _breaks(self, program: HostProgram, plan: CheckPlan, layout: HostLayout) -> _Finding | None:
        """Compare a program with the invariants, by traces that break none without a mutant."""
        corpus = self._corpora[plan.specification.subsystem, layout]
        with self._hunted(program, plan, layout) as hunted:
            ending = corpus.first_finding(hunted, lambda each: bool(self._of_ending(each)))
        if ending is None:
            return None
        return _Finding(self._of_ending(ending), ending.in_words(), ending.kind in COSTLY)

    def _hunted(self, program: HostProgram, plan: CheckPlan, layout: HostLayout) -> HuntedProgram:
        makes = plan.specification.hunted
        if makes is None:
            raise ValueError(f"{plan.specification.subsystem} has a model")
        return HuntedProgram(makes, self._runner(program, layout), self.env.clock)

    def _runner(self, program: HostProgram, layout: HostLayout) -> ProgramRunner:
        env = self.env
        return ProgramRunner(
            program, layout, env.runner, self.scratch, env.sandboxed, limits=_LIMITS
        )

    def _of_ending(self, ending: HostEnding) -> str:
        return self._oracle(ending.kind, ending.frames)

    def _oracle(self, kind: EndingKind, frames: Sequence[str]) -> str:
        """Return what kills a mutant; empty: nothing, as a limit of the host's or a trap ended it.

        Where a function of the tree's own accesses no memory, a guest's kernel traps and panics.
        """
        if kind is EndingKind.SIGNAL and frames and frames[0] in self.functions:
            return "fault"
        return _ORACLES.get(kind, "")


def _survived(
    mutant: Mutant, survival: Survival, equivalent: str, digests: tuple[str, ...] = ()
) -> Judgement:
    found = judgement(mutant, MutantOutcome.SURVIVED, mutant.description)
    return replace(found, equivalent=equivalent, survival=survival, digests=digests)
