"""The record of a run, with a cell for each guest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from harness.errors import BuildError, InfraError
from harness.kyua.known import unexpected_passes
from harness.kyua.tests import TestResult
from harness.mutation.judgement import Judgement, MutantOutcome
from harness.outcome import Outcome
from harness.results import SCHEMA

if TYPE_CHECKING:
    from harness.check.result import CheckResult
    from harness.console.report import GuestReport
    from harness.debug.plan import DebugFindings
    from harness.execution.result import ProgramResult
    from harness.kernel.artifact import KernelIdentity
    from harness.kyua.tests import TestOutcome
    from harness.verdict import Verdict
    from harness.verification import Verification


GUEST: Final = "guest"
HOST: Final = "host"
"""The value of ``Cell.on`` for a host program."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A boot made as a second opinion on a failure.

    Args:
        name: its subdirectory of the cell's directory.
        purpose: ``repeat`` of the same kernel, or ``control``: another kernel on this host.
        kernel: the kernel's label.
        accelerator: kvm or tcg.
        boot: loader or direct.
        outcome: empty if the host failed.
        title: the verdict's title.
        error: the host's failure; empty if the host did not fail.
        seconds: from the guest's start to its end.
    """

    name: str
    purpose: str
    kernel: str
    accelerator: str
    boot: str
    outcome: str = ""
    title: str = ""
    error: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One boot of one guest.

    Args:
        name: unique in the run; also the name of its directory.
        side: ``before`` or ``after`` in a comparison, else empty.
        guest: FreeBSD and its release, or the built-in guest.
        nodes: number of NUMA nodes.
        topology: the nodes' CPUs and memory (MiB), and the distances.
        backend: qemu or libvirt.
        accelerator: kvm or tcg.
        kernel: what the kernel was built from; None if it was not built.
        verdict: None if the host failed before there was one.
        error: the host's failure; empty if the host did not fail.
        expected: any of these outcomes is as expected; empty if there is no expectation.
        assumed: the outcomes predicted for the baseline, if the kernel's own code has no known
            form; they are not an expectation.
        stages: seconds from the guest's start to the start of each stage.
        cpu: seconds of CPU time that QEMU had used at the start of each stage.
        report: init's report; None if the guest did not print it.
        disagreements: differences between the machine that QEMU provides and that the kernel sees.
        seconds: from the guest's start to its end.
        check: the result of the check against the model; None if it was not checked.
        boot: how the kernel was loaded: loader or direct.
        verification: which kernel ran on which machine, and the evidence that is missing; None if
            the guest was not started.
        console: the console's last lines or those around the failure, escaped.
        repeats: second opinions on a failure, in order.
        opinion: their conclusion; empty if there are none.
        unrepeated: whether this failure was seen once, in one of several boots.
        failing: those of the verdict's ``reports`` that fail the cell.
        on: ``guest``; ``host`` if only a host program was checked.
        host: result of the host program that ran before the boot.
        debug: what debuggers found after its failure; None if nothing was asked.
        options: options added to the kernel's configuration.
        program: the result of the command that was run in it; None if there was none.
        bad_expected: whether the command is expected to fail.
        world: what its userland was built from; None for a guest without one.
        snapshot: key of the snapshot that it was restored from; empty if it was booted.
    """

    name: str
    side: str
    guest: str
    nodes: int
    sanitizer: str
    backend: str
    accelerator: str
    kernel: KernelIdentity | None = None
    topology: Mapping[str, Any] = field(default_factory=dict)
    verdict: Verdict | None = None
    error: str = ""
    expected: tuple[Outcome, ...] = ()
    why_expected: str = ""
    assumed: tuple[Outcome, ...] = ()
    stages: Mapping[str, float] = field(default_factory=dict)
    cpu: Mapping[str, float] = field(default_factory=dict)
    report: GuestReport | None = None
    disagreements: tuple[str, ...] = ()
    seconds: float = 0.0
    check: CheckResult | None = None
    boot: str = "loader"
    verification: Verification | None = None
    console: tuple[str, ...] = ()
    repeats: tuple[Repeat, ...] = ()
    opinion: str = ""
    unrepeated: bool = False
    failing: tuple[str, ...] = ()
    on: str = GUEST
    host: CheckResult | None = None
    options: tuple[str, ...] = ()
    debug: DebugFindings | None = None
    program: ProgramResult | None = None
    bad_expected: bool = False
    world: Mapping[str, Any] | None = None
    snapshot: str = ""

    @property
    def sample_of(self) -> tuple[str, ...]:
        """A key that is equal for cells that boot the same kernel on the same guest."""
        return self.side, self.sanitizer, *self.options, str(self.topology)

    @property
    def verified(self) -> bool:
        """Whether kernel, machine and boot are verified."""
        return self.verification is not None and not self.verification.doubts

    @property
    def host_failed(self) -> bool:
        """Whether the host failed, not the kernel."""
        if self.on == HOST:
            return self.check is None or bool(self.error)
        return self.verdict is None or self.verdict.blames_host

    @property
    def as_expected(self) -> bool:
        """Whether the outcome is as expected; without an expectation, whether the kernel booted.

        A kernel that sees another machine than QEMU provides is never as expected.
        """
        if self.on == HOST:
            return self.check is not None and self.check.agreed and not self.host_failed
        if self.verdict is None or self.host_failed or self.disagreements or self.failing:
            return False
        if self.check is not None and not self.check.agreed:
            return False
        if self.verdict.outcome not in (self.expected or (Outcome.BOOTED,)):
            return False
        if self.program is None or self.verdict.outcome is not Outcome.BOOTED:
            return True
        return self.program.is_bad if self.bad_expected else self.program.is_good

    @property
    def is_unconfirmed(self) -> bool:
        """Whether the guest did not repeat a finding of the host program."""
        return self.verdict is not None and self.verdict.outcome is Outcome.UNCONFIRMED


@dataclass(frozen=True, slots=True)
class Run:
    """The boots of one command.

    Args:
        name: name of the record and its directory.
        command: the arguments of the harness.
        started: ISO 8601, UTC.
        version: the harness's version.
        cells: in the order of the matrix.
        judgements: the result of each mutant, in a run that judges mutants.
        source: the tree, as ``--source`` names it.
        retry_of: the run whose cells it repeats; empty for none.
        mutants: the names of the planned mutants.
        tests: the results of FreeBSD's own tests.
        wrong_suites: why suites could not be run, by their names.
        vanished: tests that an earlier run of the same suites had, and this one does not.
    """

    name: str
    command: tuple[str, ...]
    started: str
    version: str
    cells: tuple[Cell, ...]
    judgements: tuple[Judgement, ...] = ()
    source: str = ""
    retry_of: str = ""
    mutants: tuple[str, ...] = ()
    tests: tuple[TestOutcome, ...] = ()
    wrong_suites: Mapping[str, str] = field(default_factory=dict)
    vanished: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0: as expected; 1: the kernel failed or differs; 3: the host failed, or all that was
        found is unconfirmed.

        For mutants, 1: one survived without a recorded reason; 4: one does not build.
        """
        if self.judgements:
            return _mutants_exit_code(self.judgements)
        if any(cell.host_failed for cell in self.cells):
            return 3
        if self.wrong_suites or any(not (test.result.is_good or test.known) for test in self.tests):
            return 1
        # A guest that a known issue ended is named by its test.
        panicked = (test for test in self.tests if test.result is TestResult.PANICKED)
        told = {test.cell for test in panicked if test.known}
        wrong = [cell for cell in self.cells if not cell.as_expected and cell.name not in told]
        if wrong and all(cell.is_unconfirmed for cell in wrong):
            return InfraError.exit_code
        return 1 if wrong else 0


def with_new_reports(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Return the cells of a comparison; a new sanitizer report fails a cell of the side ``after``.

    A report is new if no booted cell ``before`` of the same sanitizers, options and topology has
    it. If no such cell booted, no report is new, as the report may come later in the boot.
    """
    before: dict[tuple[str, ...], set[str]] = {}
    for cell in cells:
        verdict = cell.verdict
        if cell.side == "before" and verdict is not None and verdict.outcome is Outcome.BOOTED:
            before.setdefault(cell.sample_of[1:], set()).update(verdict.reports)
    return tuple(_with_new_reports(cell, before.get(cell.sample_of[1:])) for cell in cells)


def _with_new_reports(cell: Cell, known: Collection[str] | None) -> Cell:
    if cell.side != "after" or cell.verdict is None or known is None:
        return cell
    new = (title for title in cell.verdict.reports if title not in known)
    return replace(cell, failing=tuple(dict.fromkeys((*cell.failing, *new))))


def to_document(run: Run) -> dict[str, Any]:
    """Return the run as a JSON document, which ``--json`` prints and ``record.json`` contains."""
    return {
        "schema": SCHEMA,
        "name": run.name,
        "command": list(run.command),
        "started": run.started,
        "harness": run.version,
        "exit_code": run.exit_code,
        "state": "ended",
        "planned": [cell.name for cell in run.cells],
        "planned_mutants": list(run.mutants),
        "source": run.source,
        "retry_of": run.retry_of,
        "cells": [
            {**to_cell_document(cell), "origin": origin_of(cell, run.cells)} for cell in run.cells
        ],
        "rates": [] if run.judgements else rates_of(run.cells),
        "mutants": [to_judgement_document(each) for each in run.judgements],
        "tests": [to_test_document(test) for test in run.tests],
        "wrong_suites": dict(run.wrong_suites),
        "unexpected_passes": [str(test.test) for test in unexpected_passes(run.tests)],
        "vanished_tests": list(run.vanished),
        "unwritten": [],
    }


def to_test_document(test: TestOutcome) -> dict[str, Any]:
    """Return a test's result as a JSON document."""
    return {**asdict(test), "test": str(test.test), "good": test.result.is_good}


def to_judgement_document(judgement: Judgement) -> dict[str, Any]:
    """Return a mutant's result as a JSON document."""
    return {**asdict(judgement), "as_it_should_be": judgement.as_it_should_be}


def _mutants_exit_code(judgements: Sequence[Judgement]) -> int:
    fates = {each.fate for each in judgements if not each.as_it_should_be}
    if fates & {MutantOutcome.HOST_FAILED, MutantOutcome.ENDED}:
        return InfraError.exit_code
    if MutantOutcome.UNBUILT in fates:
        return BuildError.exit_code
    return 0 if all(each.as_it_should_be for each in judgements) else 1


def rates_of(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Return the number of boots with each outcome, for kernels booted repeatedly on one guest."""
    samples: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        if cell.check is None:  # repeated checks have different seeds
            kernel = cell.kernel.key if cell.kernel else ""  # a night has many of one side
            samples.setdefault((kernel, *cell.sample_of), []).append(cell)
    return [
        {
            "cells": [cell.name for cell in group],
            "boots": len(group),
            "outcomes": dict(
                Counter(
                    cell.verdict.outcome.value if cell.verdict else "host failed" for cell in group
                )
            ),
        }
        for group in samples.values()
        if len(group) > 1
    ]


def to_cell_document(cell: Cell) -> dict[str, Any]:
    """Return a cell as a JSON document."""
    document = asdict(replace(cell, report=None))
    document["kernel"] = cell.kernel.document() if cell.kernel else None
    document["program"] = cell.program.document() if cell.program else None
    document["report"] = _report_document(cell.report)
    document["verified"] = cell.verified
    document["host_failed"] = cell.host_failed
    document["as_expected"] = cell.as_expected
    return document


def origin_of(cell: Cell, cells: Sequence[Cell]) -> str:
    """Return whether a failure comes from the change or the tree; empty if that is not known.

    A tree has bugs of its own, which a sanitizer reports in some boots only. The change did not
    cause a failure that both sides of a comparison show, or that an unchanged kernel shows.
    """
    verdict = cell.verdict
    if verdict is None or cell.kernel is None or verdict.outcome is Outcome.BOOTED:
        return ""
    if verdict.blames_host:
        return ""
    failure = _failure(cell)
    if any(other.side != cell.side and _failure(other) == failure for other in cells):
        return "on both sides, so not caused by the change"
    kernel = cell.kernel
    if not cell.side and not (kernel.mutant or kernel.patch or kernel.dirty):
        return "a failure of the tree itself: no patch, mutant or local change is applied"
    return ""


def _failure(cell: Cell) -> tuple[Outcome, str] | None:
    return (cell.verdict.outcome, cell.verdict.title) if cell.verdict else None


def _report_document(report: GuestReport | None) -> dict[str, Any] | None:
    """Return init's report as a JSON document, with tables in hexadecimal."""
    if report is None:
        return None
    return {
        "guest": report.guest,
        "release": report.release,
        "osreldate": report.osreldate,
        "ident": report.ident,
        "build_id": report.build_id,
        "version": report.version,
        "sanitizers": None if report.sanitizers is None else list(report.sanitizers),
        "numa": report.numa,
        "domains": report.domains,
        "cores": report.cores,
        "threads": report.threads,
        "cpus": {str(cpu): domain for cpu, domain in report.cpus.items()},
        "memory": {str(domain): asdict(memory) for domain, memory in report.memory.items()},
        "distances": [[*pair, value] for pair, value in report.distances.items()],
        "subsystems": {name: each.document() for name, each in report.subsystems.items()},
        "tables": {name: table.hex() for name, table in report.tables.items()},
    }


def backtrace_lines(frames: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a symbolized backtrace, innermost frame first, inlined callers marked.

    Args:
        frames: ``SymbolizedFrame`` as JSON documents.
    """
    lines = []
    for number, frame in enumerate(frames):
        lines += [
            f"#{number:<3}{inlined['function']} (inlined) at {_location(inlined)}"
            for inlined in frame["inlined"]
        ]
        guess = "" if frame["certain"] else " (or another function of that name)"
        lines.append(f"#{number:<3}{frame['function']} at {_location(frame)}{guess}")
    return lines


def _location(frame: Mapping[str, Any]) -> str:
    return f"{frame['file']}:{frame['line']}" if frame["file"] else "?"
