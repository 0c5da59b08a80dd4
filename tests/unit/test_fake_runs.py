"""Many fake guests: a comparison's matrix, and a whole bisection with the proof of its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest
from bisections import Silent, history_of
from fake_guests import boots, fake_booter, hangs, made_kernel, number_of, panics, plan
from histories import line

from harness.bisect.history import Relevance
from harness.bisect.knowledge import Asked
from harness.bisect.proof import prove
from harness.bisect.run import Bisection
from harness.bisect.search import Culprit, Question
from harness.bisect.state import StateFile
from harness.boot.booter import Booter
from harness.boot.cellplan import CellPlan, repeated
from harness.check.subject import Specification
from harness.errors import BuildError, InfraError
from harness.guest.fake import FakeBackend, Script
from harness.guest.spec import GuestSpec
from harness.host.progress import Progress, Recorded
from harness.kernel.artifact import KernelArtifact
from harness.outcome import Outcome
from harness.provide.kernels import Kernels
from harness.results.record import Cell
from harness.runs.examination import BootExamination
from harness.runs.kerneltester import KernelTester
from harness.runs.matrix import Matrix
from harness.sanitizers import NONE, Sanitizers
from harness.source.request import KernelRequest
from harness.subsystems.subsystem import Subsystem

GIB = 1 << 30


@dataclass(frozen=True)
class MadeKernels(Kernels):
    """Kernels by their numbers; a word that is no number does not build."""

    directory: Path = Path()

    def provide(
        self,
        what: KernelRequest,
        sanitizers: Sanitizers,
        progress: Progress,
        *,
        modules: Sequence[str] = (),
    ) -> KernelArtifact:
        if what.source == "no disk":
            raise InfraError("the disk is full")
        if not what.source.isdigit():
            raise BuildError(f"{what.source} does not build")
        return made_kernel(self.directory, int(what.source))


@dataclass
class Rows:
    ended: dict[str, str] = field(default_factory=dict)

    def row(self, name: str) -> Progress:
        return Recorded()

    def done(self, name: str, outcome: str, *, good: bool) -> None:
        self.ended[name] = outcome

    def failed(self, name: str, error: BaseException) -> None:
        self.ended[name] = type(error).__name__


def matrix(booter: Booter, directory: Path, jobs: int = 2, memory: int = 64 * GIB) -> Matrix:
    kernels = MadeKernels(booter.workspace, booter.runner, booter.clock, directory=directory)
    return Matrix(kernels, booter, Rows(), jobs, memory, no_world)


def no_world(what: KernelRequest, name: str, suites: Sequence[str], progress: Progress) -> NoReturn:
    raise AssertionError(f"{what.source} needs no world {name} {suites}")


def cells(*sources: str, expected: Sequence[Outcome] = (Outcome.BOOTED,)) -> list[CellPlan]:
    return [
        CellPlan(f"{side}-none-numa2", side, KernelRequest(source), NONE, plan(), tuple(expected))
        for side, source in zip(("before", "after"), sources, strict=False)
    ]


def run(
    directory: Path, plans: list[CellPlan], play: Callable[[GuestSpec], Script], **how: int
) -> tuple[tuple[Cell, ...], Matrix]:
    with fake_booter(directory, play) as booter:
        made = matrix(booter, directory, **how)
        return made.run(plans, directory / "run"), made


def test_two_kernels_are_compared(tmp_path: Path) -> None:
    def play(spec: GuestSpec) -> Script:
        return panics(spec) if number_of(spec) == 0 else boots(spec)

    (before, after), made = run(tmp_path, cells("0", "1"), play)
    assert before.verdict is not None
    assert before.verdict.outcome is Outcome.PANIC
    assert not before.as_expected
    assert after.as_expected
    assert isinstance(made.rows, Rows)
    assert made.rows.ended["after-none-numa2"] == "booted"
    assert (tmp_path / "run" / before.name / "console.log").is_file()


def test_guests_whose_memory_does_not_fit_together_boot_one_after_the_other(
    tmp_path: Path,
) -> None:
    plans = repeated(cells("1")[0], 6)
    found, made = run(tmp_path, plans, boots, jobs=4, memory=GIB)
    assert [cell.as_expected for cell in found] == [True] * 6
    assert isinstance(made.booter.backend, FakeBackend)
    assert len(made.booter.backend.started) == 6


def test_a_failure_that_never_repeats_is_no_chance_if_it_is_seen_too_often(
    tmp_path: Path,
) -> None:
    """Each hangs, and each repeat of it boots: that is not the kernel's doing."""

    def play(spec: GuestSpec) -> Script:
        return boots(spec) if "again" in spec.name else hangs(spec)

    found, _ = run(tmp_path, repeated(cells("1")[0], 4), play)
    outcomes = {cell.verdict.outcome for cell in found if cell.verdict}
    assert outcomes == {Outcome.UNVERIFIED}


def test_what_does_not_build_ends_the_run_and_what_the_host_fails_is_a_cell(
    tmp_path: Path,
) -> None:
    with pytest.raises(BuildError, match="does not build"):
        run(tmp_path, cells("broken"), boots)
    (failed, fine), _ = run(tmp_path, cells("no disk", "1"), boots)
    assert "the disk is full" in failed.error
    assert failed.host_failed
    assert fine.as_expected


# --- bisection --------------------------------------------------------------------------------

LINE = line(20)


@dataclass
class MadeRevisions:
    """Each revision's kernel has the number in its name; some do not build."""

    directory: Path
    broken: frozenset[str] = frozenset()
    title: str = "a made kernel"
    relevance: Relevance = field(default_factory=Relevance)
    subsystems: tuple[Subsystem, ...] = ()

    def kernel(self, commit: str, progress: Progress) -> KernelArtifact:
        if commit in self.broken:
            raise BuildError(f"{commit} does not build")
        return made_kernel(self.directory, int(commit.removeprefix("c")))

    def specification(self, subsystem: Subsystem, commit: str) -> Specification:
        raise AssertionError("nothing is checked")


@pytest.mark.parametrize("broken", [frozenset(), frozenset({"c10", "c11", "c12"})])
def test_a_bisection_of_fake_guests_finds_and_proves_the_culprit(
    tmp_path: Path, broken: frozenset[str]
) -> None:
    def play(spec: GuestSpec) -> Script:
        return panics(spec) if number_of(spec) >= 14 else boots(spec)

    with fake_booter(tmp_path, play) as booter:
        examination = BootExamination(booter, plan(), KernelRequest("made"), NONE)
        tester = KernelTester(
            MadeRevisions(tmp_path, broken), examination, booter, tmp_path / "run", booter.clock,
        )  # fmt: skip
        question = Question("c20", ("c0",))
        file = StateFile(booter.workspace, {"new": "c20"})
        bisection = Bisection(
            Asked(question), history_of(LINE), Relevance(), tester, file, file.load(),
            Silent(), 1, 1,
        )  # fmt: skip
        found = bisection.run()
        assert isinstance(found, Culprit)
        assert found.commit == "c14"
        proof = prove(bisection, found, None, "it conflicts")
        bisection.close()
        assert [step.holds for step in proof.steps[:2]] == [True, True]
        assert isinstance(booter.backend, FakeBackend)
        assert len(booter.backend.started) < 20
