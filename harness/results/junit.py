"""Runs as JUnit XML, with a test case for each cell.

A kernel failure is a ``failure`` with the symbolized backtrace. A host failure is an ``error``, so
that a CI system can distinguish the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from harness.check.result import conclusion_in_words
from harness.host.workspace import write_named
from harness.outcome import Outcome
from harness.printable import printable_text
from harness.results.checks import check_lines
from harness.results.debug import debug_lines
from harness.results.logs import JudgedLog, log_lines
from harness.results.programs import program_lines
from harness.results.record import HOST, Cell, Run, backtrace_lines, to_cell_document
from harness.results.suites import junit_suites
from harness.results.text import repeat_lines, report_lines, way_in_words
from harness.results.verification import console_lines, identity_lines, unproven_lines

if TYPE_CHECKING:
    from harness.check.result import CheckResult
    from harness.verdict import Verdict


def write_junit(run: Run, path: Path) -> None:
    """Write a run to ``path``.

    Raises:
        InfraError: the file cannot be written.
    """
    suite = TestSuite(f"harness.{run.name}")
    suite.timestamp = run.started
    for cell in run.cells:
        suite.add_testcase(_case(cell))
    _write([suite, *junit_suites(run)], path)


def write_log_junit(logs: Iterable[JudgedLog], path: Path) -> None:
    """Write a test case for each log to ``path``.

    A kernel failure is a ``failure``; a log that shows neither success nor failure is an ``error``.

    Raises:
        InfraError: the file cannot be written.
    """
    suite = TestSuite("harness.judge")
    for log in logs:
        case = TestCase(printable_text(log.file), classname="console")
        if log.exit_code:
            verdict = log.verdict
            kind = Failure if log.exit_code == 1 else Error
            result = kind(
                printable_text(f"{verdict.outcome}: {verdict.title}"), verdict.outcome.value
            )
            result.text = printable_text("\n".join(log_lines(log)))
            case.result = [result]
        suite.add_testcase(case)
    _write([suite], path)


def _write(suites: Iterable[TestSuite], path: Path) -> None:
    document = JUnitXml()
    for suite in suites:
        document.add_testsuite(suite)
    document.update_statistics()
    write_named(path, document.tostring())


def _case(cell: Cell) -> TestCase:
    case = TestCase(cell.name, classname=printable_text(cell.guest), time=round(cell.seconds, 3))
    document = to_cell_document(cell)
    reports = report_lines(document) if cell.verdict else []
    evidence = [
        *reports, *identity_lines(document), *unproven_lines([document]), *console_lines(document),
        *debug_lines(document),
    ]  # fmt: skip
    if evidence:
        case.system_out = printable_text(
            "\n".join([f"backend: {way_in_words(document)}", *evidence])
        )
    if not cell.as_expected:
        case.result = [_why_not(cell)]
    return case


def _why_not(cell: Cell) -> Failure | Error:
    """Return why a cell is not as expected."""
    verdict = cell.verdict
    if cell.on == HOST and cell.check is not None and not cell.host_failed:
        return _check_failure(cell.check)
    if verdict is None or cell.host_failed or cell.is_unconfirmed:
        title = verdict.title if verdict else "no verdict"
        message = cell.error or (verdict.message if verdict else "") or title
        result = Error(printable_text((cell.error or title).splitlines()[0]), _kind_of(verdict))
        result.text = printable_text("\n".join([message, *repeat_lines(asdict(cell))]))
        return result
    if cell.failing and verdict.outcome in (cell.expected or (Outcome.BOOTED,)):
        first, more = cell.failing[0], len(cell.failing) - 1
        message = f"report: {first}" + (f", and {more} more" if more else "")
        return _failure(message, "report", cell.failing)
    if verdict.outcome is Outcome.BOOTED:
        if cell.check is not None and not cell.check.agreed:
            return _check_failure(cell.check)
        if cell.program is not None:
            told = program_lines(cell.program.document())
            return _failure(cell.program.words, "command", told)
    wanted = " or ".join(cell.expected) or "booted"
    frames = backtrace_lines([asdict(frame) for frame in verdict.symbolized])
    lines = [
        f"expected {wanted}", verdict.message or verdict.title, *repeat_lines(asdict(cell)), *frames
    ]  # fmt: skip
    return _failure(f"{verdict.outcome}: {verdict.title}", verdict.outcome.value, lines)


def _failure(message: str, kind: str, lines: Iterable[str]) -> Failure:
    failure = Failure(printable_text(message), kind)
    failure.text = printable_text("\n".join(lines))
    return failure


def _check_failure(check: CheckResult) -> Failure:
    message = f"{conclusion_in_words(check.conclusion)}: {check.why}"
    return _failure(message, "check", [*check_lines(asdict(check)), check.trace])


def _kind_of(verdict: Verdict | None) -> str:
    if verdict is not None and verdict.outcome in (
        Outcome.UNVERIFIED, Outcome.UNCONFIRMED,
    ):  # fmt: skip
        return verdict.outcome.value
    return "InfraError"
