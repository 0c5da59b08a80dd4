"""Results of a night's cells, from the cells of a record."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

from harness.bisect.evidence import Kind
from harness.errors import BuildError, HarnessError, UsageError
from harness.execution.program import STDERR, STDOUT
from harness.nightly.failures import BUILD, COMMAND
from harness.nightly.result import Purpose, Result, Status
from harness.runs.buildtester import error_lines, error_title
from harness.runs.examination import COMMAND_FAILED, boot_trial

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from harness.nightly.cells import NightCell
    from harness.results.record import Cell

#: Before the command in the title of its failure.
_COMMAND_FAILED: Final = f"{COMMAND_FAILED}: "

#: Bytes of a console that are stored.
_CONSOLE = 1 << 20

#: What stands in place of the middle of a long console.
_LEFT_OUT: Final = b"\n[...]\n"

#: Characters of an error's detail that are stored: its end.
_DETAIL = 8000


def result_of_cell(cell: NightCell, done: Cell, planned: Result, moment: datetime) -> Result:
    """Return the result of a boot or a check.

    Args:
        cell: the plan's cell.
        done: the record's cell.
        planned: the result before it ran, with slot, revision, purpose, attempt and artifact.
        moment: when it started.
    """
    trial = boot_trial(done)
    status, title, detail = _status(cell, done)
    verdict = done.verdict
    mismatch = trial.kind is Kind.FAILED and done.check is not None and not done.check.agreed
    kind = "check" if mismatch and title.startswith("check") else "boot"
    if title.startswith(_COMMAND_FAILED):
        kind = COMMAND
    return replace(
        planned,
        status=status,
        kind=kind,
        outcome=verdict.outcome.value if verdict else "",
        title=title,
        detail=detail,
        topology=topology_in_words(done),
        guest=done.guest,
        accelerator=done.accelerator,
        method=done.boot,
        started=moment,
        seconds=done.seconds,
        stages=dict(done.stages),
        cpu=dict(done.cpu),
        frames=tuple(asdict(frame) for frame in verdict.symbolized) if verdict else (),
        offset=verdict.offset if verdict else None,
        record_cell=done.name,
        opinions=tuple(asdict(repeat) for repeat in done.repeats),
    )


def result_of_error(planned: Result, error: HarnessError) -> Result:
    """Return the result of a kernel that was not built.

    Args:
        planned: the result before it ran.
        error: why.
    """
    detail = "\n".join(part for part in (error.message, error.detail) if part)[-_DETAIL:]
    if isinstance(error, BuildError):
        title = error_title(error_lines(error)[0])
        return replace(planned, status=Status.UNBUILT, kind=BUILD, title=title, detail=detail)
    # a control whose mutant does not apply is not the host's failure
    refused = isinstance(error, UsageError) and planned.purpose is Purpose.CONTROL
    status = Status.FAILED if refused else Status.HOST_FAILED
    return replace(planned, status=status, title=error.message, detail=detail)


def console_of(directory: Path, done: Cell) -> bytes:
    """Return the console of a record's cell; empty if it cannot be read."""
    try:
        return (directory / done.name / "console.log").read_bytes()
    except OSError:
        return b""


def output_of(directory: Path, done: Cell) -> str:
    """Return the end of what a command printed; empty if it cannot be read."""
    found = []
    for name in (STDOUT, STDERR):
        with suppress(OSError):
            text = (directory / done.name / name).read_bytes().decode("utf-8", "replace")
            found.append(text[-_DETAIL // 2 :])
    return "\n".join(filter(None, found))


def kept_console(console: bytes, offset: int | None) -> tuple[bytes, int | None]:
    """Return what is stored of a console, and where in it a place is.

    Args:
        console: the console; of a long one, the beginning and the end are stored.
        offset: a position in it; None for none.

    Returns:
        the bytes, and the position in them; None if it is in what is left out.
    """
    if len(console) <= _CONSOLE:
        return console, offset
    half = _CONSOLE // 2
    kept = console[:half] + _LEFT_OUT + console[-half:]
    if offset is None or offset < half:
        return kept, offset
    moved = offset - len(console) + len(kept)
    return kept, moved if moved >= half + len(_LEFT_OUT) else None


def topology_in_words(done: Cell) -> str:
    """Return the nodes of a cell with their memory and CPUs."""
    nodes = done.topology.get("nodes", ())
    words = [f"{node['memory_mib']} MiB, {_cpus(node['cpus'])}" for node in nodes]
    count = f"{done.nodes} node{'' if done.nodes == 1 else 's'}"
    return f"{count}: {'; '.join(words)}" if words else count


def _cpus(count: int) -> str:
    return f"{count} CPU{'' if count == 1 else 's'}"


def _status(cell: NightCell, done: Cell) -> tuple[Status, str, str]:
    """Return what a cell says of its kernel, with its title and detail."""
    trial, verdict = boot_trial(done), done.verdict
    if trial.kind is Kind.INFRA:
        return Status.HOST_FAILED, verdict.title if verdict else "", trial.error
    if trial.kind is Kind.SKIPPED:
        return Status.NOT_RUN, "", f"the command can say nothing of this kernel: {trial.outcome}"
    title = trial.titles[0] if trial.kind is Kind.FAILED and trial.titles else ""
    if title == COMMAND_FAILED:
        title = f"{_COMMAND_FAILED}{cell.command}"
    detail = trial.error or (verdict.message if verdict else "")
    if cell.kind != "control":
        failed = trial.kind is Kind.FAILED
        return (Status.FAILED if failed else Status.PASSED), title, detail if failed else ""
    outcome = verdict.outcome.value if verdict else ""
    shown = title or outcome
    if outcome in cell.outcomes and cell.title in shown:
        return Status.PASSED, shown, detail
    return Status.FAILED, shown, detail


def not_run(
    cell: NightCell, commit: str, attempt: int, purpose: Purpose = Purpose.PLANNED
) -> Result:
    """Return the result of what the budget or the end of the night left out."""
    purpose = Purpose.CONTROL if cell.kind == "control" else purpose
    return Result(
        cell.slot, commit, Status.NOT_RUN, purpose, attempt, configuration=cell.configuration
    )


def about_left_out(results: Sequence[Result]) -> list[str]:
    """Return the notes of a night about what it did not run."""
    notes = []
    planned = [each for each in results if each.purpose is not Purpose.TIMING]
    if planned:
        commits = {(each.slot.branch, each.commit) for each in planned}
        notes.append(f"the budget left out {len(planned)} cells of {len(commits)} revisions")
    return notes + [
        f"the budget ended the comparison of boot times of {each.slot.cell} ({each.slot.branch}) "
        f"with {each.commit[:12]}; the next night goes on with it"
        for each in results
        if each.purpose is Purpose.TIMING
    ]
