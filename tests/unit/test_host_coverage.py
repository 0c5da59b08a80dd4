"""Coverage of host programs: what was executed is counted, however the program and copies end."""

from __future__ import annotations

import re
import shutil
import struct
from pathlib import Path

import pytest

from harness.arch import GUEST
from harness.errors import InfraError
from harness.host.process import HostRunner
from harness.host.resources import data_file
from harness.kernel.toolchain import Llvm, installed_llvms
from harness.onhost import recipe
from harness.onhost.build import HALVES
from harness.onhost.coverage import Coverage, CoverageSegment, Ratio, read_coverage, total
from harness.onhost.coveragetools import CoverageTools
from harness.onhost.instrumentation import COVERED
from harness.onhost.layout import HostLayout
from harness.onhost.profile import COUNTERS, added, text_profile
from harness.onhost.programs import HostProgram, ProgramIdentity
from harness.onhost.run import ProgramRunner

HALF = "onhost_kernel.c"


def compiled(llvm: Llvm, work: Path) -> HostProgram:
    """Both halves, one of them compiled as covered files of a tree are."""
    runner, clang = HostRunner(), llvm.bindir / "clang"
    shutil.copy(Path(__file__).with_name(HALF), work / HALF)
    (work / "traps.s").write_text(recipe.trap_source(("missing_function", "missing_number")))
    directories = (f"-I{HALVES}", f"-I{HALVES / GUEST.name}",
                   f"-idirafter{data_file('images', 'kmod')}")  # fmt: skip
    common = (*directories, "-O0", "-fno-omit-frame-pointer", "-fno-pic", "-c")
    for source, more in ((HALF, COVERED), (HALVES / recipe.HOST_HALF, ()), ("traps.s", ())):
        target = work / f"{Path(source).stem}.o"
        runner.run([clang, *common, *more, source, "-o", target], cwd=work)
    objects = [work / f"{name}.o" for name in (Path(HALF).stem, "hostside", "traps")]
    runner.run([clang, "-no-pie", f"--ld-path={llvm.bindir / 'ld.lld'}", "-Wl,--gc-sections",
                "-Wl,-z,nostart-stop-gc", *objects, "-o", work / "program"])  # fmt: skip
    return HostProgram(ProgramIdentity("0", "0", "", "", "-O0", (), ()), work)


def run(program: HostProgram, scratch: Path, *lines: str) -> None:
    runner = ProgramRunner(program, HostLayout(1, (0,)), HostRunner(), scratch, sandboxed=False)
    with runner.started() as tap:
        tap.write("".join(f"{line}\n" for line in lines).encode())
        while tap.read(60.0):
            pass


@pytest.fixture(scope="module", params=installed_llvms(), ids=lambda llvm: f"llvm-{llvm.major}")
def tools(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> CoverageTools:
    """A program that has counted by a run with a copy, which panics, and by one that is killed."""
    program = compiled(request.param, tmp_path_factory.mktemp("program"))
    scratch = tmp_path_factory.mktemp("scratch")
    run(program, scratch, "count", "!fork", "count", "panic")
    run(program, scratch, "count", "kill")
    return CoverageTools(program, {HALF: HALF}, request.param, HostRunner(), scratch, False)


@pytest.fixture(scope="module")
def coverage(tools: CoverageTools) -> Coverage:
    counters = (tools.scratch / COUNTERS).read_bytes()
    return tools.coverage(counters, lambda path, name: path == HALF)


def test_calls_are_counted_over_runs_and_copies_that_end_in_the_middle(coverage: Coverage) -> None:
    calls = {each.name: each.calls for each in coverage.functions}
    counted = {"kern_start": 2, "kern_take": 5, "count": 3, "panics": 1}
    assert {name: calls[name] for name in counted} == counted


def test_lines_and_branches_are_those_of_llvm_cov(tools: CoverageTools, coverage: Coverage) -> None:
    words: list[str | Path] = [tools.llvm.bindir / "llvm-cov", "report", "-use-color=0"]
    words += [tools.program.path, f"-instr-profile={tools.scratch / 'coverage.profdata'}"]
    said = HostRunner().run(words, cwd=tools.scratch).text
    (row,) = re.findall(rf"^{HALF} .*", said, re.MULTILINE)
    *_, all_lines, missed_lines, _, all_branches, missed_branches, _ = row.split()
    lines = total([each.lines for each in coverage.functions])
    branches = total([each.branches for each in coverage.functions])
    assert lines == Ratio(int(all_lines) - int(missed_lines), int(all_lines))
    assert branches == Ratio(int(all_branches) - int(missed_branches), int(all_branches))
    assert 0 < lines.executed < lines.total


def test_a_place_was_executed_or_not(tools: CoverageTools, coverage: Coverage) -> None:
    lines = (tools.program.directory / HALF).read_text().splitlines()

    def executed(text: str) -> bool | None:
        number = next(at for at, line in enumerate(lines, start=1) if text in line)
        return coverage.executed(HALF, number, lines[number - 1].index(text) + 1)

    assert executed("host_end(") is True
    assert executed("missing_function(), turns") is False
    assert executed("#include <signal.h>") is None
    assert coverage.executed("other.c", 1, 1) is None


def test_html_has_the_followed_functions_only(
    tools: CoverageTools, coverage: Coverage, tmp_path: Path
) -> None:
    only = Coverage(coverage.files, tuple(x for x in coverage.functions if x.name == "count"))
    tools.html(only, tmp_path)
    (page,) = tmp_path.rglob(f"{HALF}.html")
    text = re.sub(r"<[^>]*>", "", page.read_text())
    assert "++counted" in text
    assert "missing_function(), turns" not in text


def test_counters_of_runs_are_added() -> None:
    first, second = struct.pack("<2Q", 1, 2), struct.pack("<3Q", 5, 0, 7)
    assert added(first, second) == added(second, first) == struct.pack("<3Q", 6, 2, 7)
    assert added(b"", second) == second
    top = struct.pack("<Q", (1 << 64) - 1)
    assert added(top, struct.pack("<Q", 2)) == struct.pack("<Q", 1)


def test_a_program_that_counts_nothing_is_refused(tools: CoverageTools) -> None:
    with pytest.raises(InfraError, match="counters cannot be read"):
        text_profile((tools.llvm.bindir / "clang").read_bytes()[:4096], b"")
    with pytest.raises(InfraError, match="counters cannot be read"):
        text_profile((tools.program.directory / "hostside.o").read_bytes(), b"")


def test_figures_of_a_document() -> None:
    segments = [[1, 1, 3, True, True, False], [3, 9, 0, True, True, False],
                [4, 5, 3, True, False, False], [6, 2, 0, False, False, False]]  # fmt: skip
    function = {
        "name": "a.c:f", "count": 3, "filenames": ["a.c", "a.h"],
        "regions": [[1, 1, 6, 2, 3, 0, 0, 0], [3, 9, 4, 5, 0, 0, 0, 0]],
        "branches": [[3, 3, 3, 8, 0, 3, 0, 0, 4], [9, 3, 9, 8, 0, 0, 1, 0, 4]],
    }  # fmt: skip
    other = {**function, "name": "g"}
    document = {"data": [{"files": [{"filename": "./a.c", "segments": segments}],
                          "functions": [other, function, function]}]}  # fmt: skip
    found = read_coverage(document, lambda path, name: name == "f")
    (only,) = found.functions
    assert (only.name, only.calls) == ("f", 3)
    assert only.lines == Ratio(5, 6)  # the third line has code outside of the region, too
    assert (only.branches, only.untaken) == (Ratio(1, 2), (1,))
    assert found.files["a.c"][0] == CoverageSegment(1, 1, 3, True, True, False)
    assert found.summary().startswith("functions 1/1 (100.0 %), lines 5/6")
    assert found.document()["branches"] == {"executed": 1, "total": 2}


@pytest.mark.parametrize("document", [{}, {"data": []}, {"data": [{}]}, {"data": [{"files": 1}]}])
def test_another_document_is_refused(document: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_coverage(document, lambda path, name: True)
