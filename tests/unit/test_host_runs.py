"""Checks and mutants by host programs: what is run, what is said where nothing can be run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fake_environment import NODES, FakeProvider, fake_environment
from fake_guests import boots, plan

from harness.boot.cellplan import CellPlan
from harness.cedit.csource import Cause, Mismatch
from harness.check.checker import CheckPlan
from harness.check.result import CheckResult, Conclusion
from harness.errors import HarnessError, InfraError, UsageError
from harness.guest.topology import Topology
from harness.host.clock import ManualClock
from harness.host.progress import Progress, Recorded
from harness.mutation.judgement import MutantOutcome, Survival
from harness.mutation.mutant import Mutant, MutantRefused
from harness.onhost.ending import EndingKind, HostEnding
from harness.onhost.layout import HostLayout
from harness.onhost.part import HostPart
from harness.onhost.profile import COUNTERS
from harness.onhost.programs import HostProgram, ProgramIdentity
from harness.onhost.treefiles import NoHostProgramError
from harness.runs.coverage import HostCoverage
from harness.runs.hostjudge import HostJudge
from harness.runs.hostmutants import HostMutantsRequest, host_mutants
from harness.runs.onhost import HostChecks, HostFirst, transcripts_of
from harness.runs.view import Unseen
from harness.sanitizers import NONE
from harness.source.change import Change
from harness.source.request import KernelRequest
from harness.subsystems.table import SUBSYSTEMS, find_subsystem

MADE = KernelRequest("made")
UMA = find_subsystem("uma")
PLAN = CheckPlan(UMA.held_to(UMA.variant("13.2")), 100, 1)
PROGRAM = HostProgram(
    ProgramIdentity("k", "s", "13.2-RELEASE", "clang version 3.1", "-O0", (), ()), Path("/none")
)
AGREED = CheckResult("uma", "13.2", "13.2's specification", "unproven", 1)


@dataclass
class Programs(FakeProvider):
    """Provides host programs, or does not; counts how often."""

    gives: HostProgram | HarnessError | None = None
    asks: int = 0

    def host_program(self, *_: object, **__: object) -> HostProgram | None:
        self.asks += 1
        if isinstance(self.gives, HarnessError):
            raise self.gives
        return self.gives


def checks(directory: Path, gives: HostProgram | HarnessError | None) -> HostChecks:
    provider = Programs(directory, gives=gives)
    with fake_environment(directory, boots, provider) as env:
        return HostChecks(env, provider, MADE, Topology.even(2), 100)


# --- checks in a guest's place ----------------------------------------------------------------


def test_a_program_is_built_once(tmp_path: Path) -> None:
    host = checks(tmp_path, PROGRAM)
    assert host.program(Recorded()) is host.program(Recorded()) is host.built is PROGRAM
    assert cast("Programs", host.provider).asks == 1
    assert host.layout == HostLayout(2, (0, 1))


def test_a_source_without_a_program_is_refused_where_only_the_host_is_asked(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match="--on host: made is not compiled as a host program"):
        checks(tmp_path, None).cell("uma", PLAN, Recorded())


def test_a_failure_of_the_host_is_the_cells_and_a_wrong_argument_the_users(tmp_path: Path) -> None:
    failed = checks(tmp_path, InfraError("no clang")).cell("uma", PLAN, Recorded())
    assert (failed.error, failed.host_failed, failed.on) == ("no clang", True, "host")
    with pytest.raises(UsageError, match="no such file"):
        checks(tmp_path, UsageError("no such file", remedy="name one")).cell(
            "uma", PLAN, Recorded()
        )


def test_a_limit_of_the_program_is_no_finding(tmp_path: Path) -> None:
    host = checks(tmp_path, PROGRAM)
    host.program(Recorded())
    limit = replace(AGREED, conclusion=Conclusion.NONSENSE, why="it took too long")
    assert host.searched("uma", limit).error == "it took too long"
    cell = host.searched("uma", AGREED)
    assert (cell.error, cell.guest, cell.check) == ("", "FreeBSD 13.2-RELEASE", AGREED)


def test_transcripts_depend_on_machine_release_and_seed(tmp_path: Path) -> None:
    env, one = checks(tmp_path, None).env, HostLayout(1, (0,))
    made = [
        transcripts_of(env, PLAN, one, "13.2"),
        transcripts_of(env, PLAN, HostLayout(2, (0, 1)), "13.2"),
        transcripts_of(env, PLAN, one, "15.1"),
        transcripts_of(env, replace(PLAN, seed=2), one, "13.2"),
    ]
    again = transcripts_of(env, PLAN, one, "13.2")
    places = [cache._directory for cache in made]
    assert len(set(places)) == len(made)
    assert again._directory == places[0]


# --- checks before a guest --------------------------------------------------------------------


@dataclass
class Checked:
    """What a check of a program comes to; see ``HostChecks``."""

    result: CheckResult = AGREED
    gives: HostProgram | HarnessError | None = PROGRAM

    def program(self, _: Progress) -> HostProgram | None:
        if isinstance(self.gives, HarnessError):
            raise self.gives
        return self.gives

    def check(self, *_: object) -> tuple[CheckResult, None]:
        return self.result, None


CELL = CellPlan("check-numa2", "", MADE, NONE, plan())


def first(checked: Checked | None) -> tuple[HostFirst, Unseen]:
    view = Unseen()
    with view.rows() as rows:
        return HostFirst(cast("Any", checked), rows, view, ManualClock()), view


def test_a_finding_of_the_program_is_what_the_guest_repeats_first() -> None:
    found = replace(AGREED, conclusion=Conclusion.DIFFERS, why="step 2")
    before, view = first(Checked(found))
    cell = before.before(CELL, PLAN)
    assert cell.host is found
    assert cell.checker is not None
    assert view.warnings == []


def test_where_there_is_no_program_only_the_guest_is_checked() -> None:
    for nothing in (None, Checked(gives=None)):
        before, view = first(nothing)
        assert before.before(CELL, PLAN) is CELL
        assert view.warnings == []
        assert before.on_host is None


def test_a_check_of_the_guest_alone_runs_no_program() -> None:
    before, _ = first(Checked(gives=InfraError("it is not asked")))
    assert before.before(CELL, replace(PLAN, on_host=False)) is CELL


def test_a_failure_of_the_host_is_one_warning_and_no_other_guest_asks_again() -> None:
    before, view = first(Checked(gives=InfraError("no clang")))
    assert before.before(CELL, PLAN) is CELL
    assert before.before(CELL, PLAN) is CELL
    assert view.warnings == ["not checked on the host, in the guest alone: no clang"]


def test_a_limit_of_the_program_is_in_the_guests_record() -> None:
    limit = replace(AGREED, conclusion=Conclusion.NONSENSE, why="it took too long")
    before, view = first(Checked(limit))
    assert before.before(CELL, PLAN).host is limit
    assert "it took too long" in view.warnings[0]


def test_a_wrong_argument_is_the_users() -> None:
    before, _ = first(Checked(gives=UsageError("no such trace", remedy="name one")))
    with pytest.raises(UsageError, match="no such trace"):
        before.before(CELL, PLAN)


# --- coverage ---------------------------------------------------------------------------------


def coverage(directory: Path) -> HostCoverage:
    with fake_environment(directory, boots) as env:
        return HostCoverage(env, ())


def test_programs_that_have_counted_nothing_leave_nothing(tmp_path: Path) -> None:
    measured = coverage(tmp_path)
    measured.collect(tmp_path)
    assert not measured.has_counted


def test_a_link_in_the_place_of_the_counters_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the user")
    (tmp_path / COUNTERS).symlink_to(tmp_path / "secret")
    measured = coverage(tmp_path)
    with pytest.raises(InfraError):
        measured.collect(tmp_path)
    assert not measured.has_counted


def test_without_the_llvm_that_has_compiled_a_program_there_is_no_coverage(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="LLVM 3, which has compiled") as failed:
        coverage(tmp_path).measured(PROGRAM)
    assert failed.value.remedy == "install: apt-get install llvm-3"


# --- mutants ----------------------------------------------------------------------------------

FILE = "sys/vm/uma_core.c"
TEXT = b"int\nf(int a)\n{\n\n\treturn (a + 1);\n}\n"


@dataclass
class Variations:
    """Programs of a tree of one file, each by a function of the text."""

    makes: Callable[[], HostProgram | None]
    same_code: bool = False
    discarded: int = 0

    def text(self, path: str) -> bytes:
        del path
        return TEXT

    def program(self, *_: object) -> HostProgram | None:
        return self.makes()

    def has_same_code(self, *_: object) -> bool:
        return self.same_code

    def discard(self, _: object) -> None:
        self.discarded += 1


class Changed(Mutant):
    """Changes the file in one byte."""

    def apply(self, text: bytes) -> bytes:
        return text.replace(b"1", b"2")


class Refused(Mutant):
    """Does not apply."""

    def apply(self, text: bytes) -> bytes:
        raise MutantRefused(self, Mismatch(Cause.FUNCTION_MISSING, "there is none", text.decode()))


def mutant(kind: type[Mutant] = Changed, path: str = FILE, equivalent: str = "") -> Mutant:
    return kind("one", "adds two", PurePosixPath(path), "f", (), equivalent=equivalent)


def judge(directory: Path, variations: Variations, **changed: Any) -> HostJudge:
    part = HostPart("uma", (FILE,), (), (), functions={})
    subsystem = cast("Any", SimpleNamespace(on_host=part))
    with fake_environment(directory, boots) as env:
        fields: Mapping[str, Any] = {
            "env": env, "variations": variations, "layouts": [HostLayout(1, (0,))], "plans": {},
            "subsystems": [subsystem], "scratch": directory, "functions": frozenset({"f"}),
            **changed,
        }  # fmt: skip
        return HostJudge(**fields)


def fails(error: Exception) -> Callable[[], HostProgram]:
    def makes() -> HostProgram:
        raise error

    return makes


def test_a_mutant_of_a_file_that_no_program_has_is_absent(tmp_path: Path) -> None:
    found = judge(tmp_path, Variations(lambda: PROGRAM)).judged(mutant(path="sys/kern/kern_main.c"))
    assert (found.fate, found.why) == (
        MutantOutcome.ABSENT, "sys/kern/kern_main.c is not in the host program",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("makes", "outcome"),
    [
        (fails(NoHostProgramError("error: expected ';'")), MutantOutcome.UNBUILT),
        (fails(InfraError("the disk is full")), MutantOutcome.HOST_FAILED),
    ],
)
def test_what_cannot_be_compiled_says_nothing_of_the_checks(
    tmp_path: Path, makes: Callable[[], HostProgram], outcome: MutantOutcome
) -> None:
    found = judge(tmp_path, Variations(makes)).judged(mutant())
    assert found.fate is outcome


def test_a_mutant_that_does_not_apply_is_absent(tmp_path: Path) -> None:
    found = judge(tmp_path, Variations(lambda: PROGRAM)).judged(mutant(Refused))
    assert found.fate is MutantOutcome.ABSENT
    assert "does not apply to f()" in found.why


def test_a_mutant_with_the_same_object_code_survives_by_it(tmp_path: Path) -> None:
    variations = Variations(lambda: None)
    found = judge(tmp_path, variations).judged(mutant())
    assert (found.fate, found.survival) == (MutantOutcome.SURVIVED, Survival.SAME_CODE)
    assert variations.discarded == 0


def test_what_no_check_kills_survives_and_its_program_is_removed(tmp_path: Path) -> None:
    variations = Variations(lambda: PROGRAM)
    found = judge(tmp_path, variations).judged(mutant())
    assert found.fate is MutantOutcome.SURVIVED
    assert variations.discarded == 1


@pytest.mark.parametrize(
    ("kind", "frames", "oracle"),
    [
        (EndingKind.PANIC, ("f",), "assertion"),
        (EndingKind.INVARIANT, (), "invariant"),
        (EndingKind.SIGNAL, ("f", "main"), "fault"),
        (EndingKind.SIGNAL, ("harness_step", "f"), ""),
        (EndingKind.SIGNAL, (), ""),
        (EndingKind.LOOP, ("f",), ""),
    ],
)
def test_a_mutant_is_killed_by_the_kernel_and_not_by_limits_of_the_host(
    tmp_path: Path, kind: EndingKind, frames: tuple[str, ...], oracle: str
) -> None:
    judged = judge(tmp_path, Variations(lambda: PROGRAM))
    assert judged._of_ending(HostEnding(kind, "x", frames)) == oracle


def test_functions_whose_mutants_are_not_generated_are_refused(tmp_path: Path) -> None:
    provider = FakeProvider(tmp_path, subsystems=SUBSYSTEMS)
    with fake_environment(tmp_path, boots, provider) as env:
        request = HostMutantsRequest(MADE, generated=True, function="nothing", guest=NODES)
        with pytest.raises(UsageError, match=r"no mutants of nothing\(\) are generated"):
            host_mutants(request, env)
        request = replace(request, function="keg_fetch_slab", subsystem="zones")
        with pytest.raises(UsageError, match=r"is a function of uma, not of zones"):
            host_mutants(request, env)


def test_a_source_without_programs_has_no_mutants_on_the_host(tmp_path: Path) -> None:
    with (
        fake_environment(tmp_path, boots) as env,
        pytest.raises(UsageError, match="no host program is made"),
    ):
        host_mutants(HostMutantsRequest(replace(MADE, change=Change()), guest=NODES), env)
