"""Runs as a program calls them: a request in, a result out, no command line and no terminal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from embedded_history import EmbeddedHistory

from harness.bisect.search import Culprit
from harness.errors import UsageError
from harness.host.clock import HostClock
from harness.host.process import HostRunner
from harness.host.workspace import Workspace
from harness.mutation.judgement import MutantOutcome
from harness.outcome import Outcome
from harness.results.store import Store
from harness.runs.bisect import bisect
from harness.runs.bisectrequest import BisectRequest
from harness.runs.boot import BootRequest, boot, describe_boot
from harness.runs.check import CheckRequest, check
from harness.runs.compare import CompareRequest, compare
from harness.runs.environment import Environment
from harness.runs.guests import GuestRequest
from harness.runs.mutants import MutantsRequest, mutants
from harness.runs.view import Unseen
from harness.sanitizers import Sanitizers, parse_sanitizers
from harness.source.change import Change
from harness.source.request import KernelRequest

BUILT_IN = KernelRequest("embedded")
TWO_NODES = GuestRequest(numa="2", accelerator="tcg")
KASAN: Sanitizers = parse_sanitizers("kasan")


@pytest.fixture(scope="module")
def env(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    runner = HostRunner()
    out = tmp_path_factory.mktemp("runs")
    yield Environment(workspace=workspace, runner=runner, clock=HostClock(), out=out)
    runner.close()


@pytest.mark.guest
def test_a_boot(env: Environment) -> None:
    result = boot(BootRequest(BUILT_IN, TWO_NODES), env)
    assert result.exit_code == 0
    assert [cell.verdict and cell.verdict.outcome for cell in result.run.cells] == [Outcome.BOOTED]
    record = Store(env.runs).load("latest")
    assert (record["name"], record["exit_code"], record["command"]) == (
        result.directory.name,
        0,
        [],
    )


@pytest.mark.guest
def test_a_boot_of_the_guest_of_a_file_with_the_files_sanitizer(env: Environment) -> None:
    result = boot(BootRequest(BUILT_IN, GuestRequest(vm="numa2-kasan", accelerator="tcg")), env)
    assert [cell.name for cell in result.run.cells] == ["kasan-numa2"]
    assert result.exit_code == 0


def test_a_boot_that_is_only_described(env: Environment) -> None:
    assert "qemu-system" in describe_boot(BootRequest(BUILT_IN, TWO_NODES), env)


@pytest.mark.guest
def test_a_comparison(env: Environment) -> None:
    result = compare(CompareRequest(BUILT_IN, guest=TWO_NODES, columns=(KASAN,)), env)
    outcomes = {cell.side: cell.verdict.outcome for cell in result.run.cells if cell.verdict}
    assert outcomes == {"before": Outcome.PANIC, "after": Outcome.BOOTED}
    assert result.exit_code == 0


@pytest.mark.guest
def test_a_check_and_the_trace_of_what_differs(env: Environment) -> None:
    assert check(CheckRequest(BUILT_IN, TWO_NODES, operations=50), env).exit_code == 0
    wrong = KernelRequest("embedded", Change(mutant="drop-commit"))
    first = GuestRequest(numa="2", accelerator="tcg", tunables={"uma.prealloc_domain": "0"})
    result = check(CheckRequest(wrong, first), env)
    assert result.exit_code == 1
    (trace,) = result.traces
    assert "domains=2" in trace.read_text()
    assert check(CheckRequest(wrong, first, replay=trace), env).exit_code == 1


@pytest.mark.guest
def test_mutants(env: Environment) -> None:
    result = mutants(MutantsRequest(BUILT_IN, guest=TWO_NODES, baseline=2, operations=50), env)
    assert [each.fate for each in result.run.judgements] == [MutantOutcome.CAUGHT]
    assert result.exit_code == 0


@pytest.mark.guest
def test_a_bisection(env: Environment, tmp_path: Path) -> None:
    made = EmbeddedHistory(tmp_path / "guest")
    made.change()
    culprit = made.break_it()
    made.change()
    request = BisectRequest(KernelRequest(str(made.directory)), "first", "main", guest=TWO_NODES)
    result = bisect(request, env)
    assert isinstance(result.findings.answer, Culprit)
    assert result.findings.answer.commit == culprit
    assert (result.exit_code, result.document["state"]) == (0, "ended")
    assert culprit[:12] in (result.directory / "report.txt").read_text()


def test_what_may_be_wrong_is_told_to_the_view_and_what_is_wrong_raised(env: Environment) -> None:
    view = Unseen()
    lonely = GuestRequest(numa="2", accelerator="tcg", memory=64)
    with pytest.raises(UsageError, match="names several guests, and boot boots one"):
        boot(BootRequest(BUILT_IN, GuestRequest(numa="1,2")), env, view)
    describe_boot(BootRequest(BUILT_IN, lonely, KASAN), env, view)
    assert [warning for warning in view.warnings if "64 MiB" in warning]


def test_runs_import_no_command_line() -> None:
    program = (
        "import sys\n"
        "import harness.runs.bisect, harness.runs.boot, harness.runs.check\n"
        "import harness.runs.compare, harness.runs.mutants\n"
        "print([name for name in sys.modules if name in ('click', 'harness.cli')])\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert told.stdout == b"[]\n"
