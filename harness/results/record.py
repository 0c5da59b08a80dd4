"""What is kept of a run: one record, with a cell for each guest that was booted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.errors import BuildError, InfraError
from harness.mutation.fate import Fate, Judgement
from harness.outcome import Outcome
from harness.results import SCHEMA

if TYPE_CHECKING:
    from harness.check.result import CheckResult
    from harness.console.report import GuestReport
    from harness.kernel.artifact import KernelIdentity
    from harness.verdict import Verdict
    from harness.verification import Verification


@dataclass(frozen=True, slots=True)
class Repeat:
    """A boot made because another failed.

    Args:
        name: of its directory in the cell's.
        purpose: ``repeat`` of the same kernel, or ``control``: another one on this host.
        kernel: its label.
        accelerator: kvm or tcg.
        boot: loader or direct.
        outcome: empty if the host failed.
        title: of the verdict.
        error: the host's failure, in words.
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
        name: unique in the run, and the name of its folder.
        side: ``before`` or ``after`` in a comparison, else empty.
        guest: what was booted, in words: FreeBSD and its release, or the built-in guest.
        nodes: NUMA nodes of the topology.
        topology: the nodes' CPUs and memory (MiB), and the distances.
        backend: qemu or libvirt.
        accelerator: kvm or tcg.
        kernel: what the kernel was made from; None if it was never built.
        verdict: None if the host failed before there was one.
        error: the host's failure, in words; empty without one.
        expected: the outcomes that are expected; empty means that nothing is.
        assumed: the outcomes predicted for the code below the kernel's changes, where its own code
            has no known form; such a prediction is not what is expected.
        stages: seconds from start to each stage's beginning.
        report: what the guest said of itself; None if it did not come to say it.
        disagreements: where the kernel sees another machine than it was given, in words.
        seconds: from the guest's start to its end.
        check: what came of holding its allocator to the model; None if that was not asked for.
        boot: what brought the kernel into memory: loader or direct.
        verification: what proves which kernel ran on which machine, or what is missing; None if
            the guest was not started.
        console: lines of the console, around the trouble or the last ones; escaped.
        repeats: boots that a failure needed besides, in order.
        opinion: what they say of the failure, in words; empty if it needed none.
        unrepeated: one of several boots failed, and its failure did not repeat.
        failing: those of its verdict's ``reports`` that count against it.
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

    @property
    def sample_of(self) -> tuple[str, str, str]:
        """Equal for cells of a run that boot the same kernel on the same guest."""
        return self.side, self.sanitizer, str(self.topology)

    @property
    def verified(self) -> bool:
        """Whether it is proven which kernel ran on which machine, and in which boot."""
        return self.verification is not None and not self.verification.doubts

    @property
    def host_failed(self) -> bool:
        """Whether the host, not the kernel, is to blame for what happened."""
        return self.verdict is None or self.verdict.blames_host

    @property
    def as_expected(self) -> bool:
        """Whether the kernel did what was expected; without an expectation, whether it booted.

        A kernel that sees another machine than it was given never does.
        """
        if self.verdict is None or self.host_failed or self.disagreements or self.failing:
            return False
        if self.check is not None and not self.check.agreed:
            return False
        return self.verdict.outcome in (self.expected or (Outcome.BOOTED,))


@dataclass(frozen=True, slots=True)
class Run:
    """One command's boots.

    Args:
        name: of the record and its folder.
        command: the arguments it was called with.
        started: ISO 8601, UTC.
        version: the harness's own.
        cells: in the order of the matrix.
        judgements: what became of each mutant, in a run that judges mutants.
        source: the tree, as ``--source`` names it.
        retry_of: the run whose cells it repeats; empty for none.
        mutants: the names of those that were to be judged.
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

    @property
    def exit_code(self) -> int:
        """0 as expected, 1 the kernel failed or differs, 3 the host failed.

        Of mutants: 1 one survives without a reason, 4 one does not build.
        """
        if self.judgements:
            return _exit_code(self.judgements)
        if any(cell.host_failed for cell in self.cells):
            return 3
        return 0 if all(cell.as_expected for cell in self.cells) else 1


def with_new_reports(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """Cells of a comparison, in which a report fails a cell ``after`` if none ``before`` has it.

    Cells of equal sanitizers and topology are held to each other, whatever their number. Where no
    cell ``before`` booted nothing is new: it did not get as far as the report.
    """
    before: dict[tuple[str, str], set[str]] = {}
    for cell in cells:
        verdict = cell.verdict
        if cell.side == "before" and verdict is not None and verdict.outcome is Outcome.BOOTED:
            before.setdefault(cell.sample_of[1:], set()).update(verdict.reports)
    return tuple(_held_to(cell, before.get(cell.sample_of[1:])) for cell in cells)


def _held_to(cell: Cell, known: Collection[str] | None) -> Cell:
    if cell.side != "after" or cell.verdict is None or known is None:
        return cell
    new = (title for title in cell.verdict.reports if title not in known)
    return replace(cell, failing=tuple(dict.fromkeys((*cell.failing, *new))))


def to_document(run: Run) -> dict[str, Any]:
    """The run as JSON's types; what ``--json`` prints and ``record.json`` holds."""
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
        "unwritten": [],
    }


def to_judgement_document(judgement: Judgement) -> dict[str, Any]:
    """One judgement as JSON's types."""
    return {**asdict(judgement), "as_it_should_be": judgement.as_it_should_be}


def _exit_code(judgements: Sequence[Judgement]) -> int:
    fates = {each.fate for each in judgements}
    if Fate.HOST_FAILED in fates:
        return InfraError.exit_code
    if Fate.UNBUILT in fates:
        return BuildError.exit_code
    return 0 if all(each.as_it_should_be for each in judgements) else 1


def rates_of(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """How often each outcome was seen, where a kernel was booted several times on one guest."""
    samples: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        if cell.check is None:  # each check has a seed of its own
            samples.setdefault(cell.sample_of, []).append(cell)
    return [
        {
            "cells": [cell.name for cell in group],
            "boots": len(group),
            "outcomes": dict(Counter(_outcome_of(cell) for cell in group)),
        }
        for group in samples.values()
        if len(group) > 1
    ]


def _outcome_of(cell: Cell) -> str:
    return cell.verdict.outcome.value if cell.verdict else "host failed"


def to_cell_document(cell: Cell) -> dict[str, Any]:
    """One cell as JSON's types."""
    document = asdict(replace(cell, report=None))
    document["kernel"] = cell.kernel.document() if cell.kernel else None
    document["report"] = _report_document(cell.report)
    document["verified"] = cell.verified
    document["host_failed"] = cell.host_failed
    document["as_expected"] = cell.as_expected
    return document


def origin_of(cell: Cell, cells: Sequence[Cell]) -> str:
    """Whose a kernel's failure is, in words; empty where the run does not tell.

    A tree has bugs of its own, and a sanitizer reports them in some boots and not in
    others: a failure that both sides of a comparison show is not the change's, and one
    of a kernel without a change of ours is the tree's.
    """
    verdict = cell.verdict
    if verdict is None or cell.kernel is None or verdict.outcome is Outcome.BOOTED:
        return ""
    if verdict.blames_host:
        return ""
    told = (verdict.outcome, verdict.title)
    others = {other.side for other in cells if other.side != cell.side and _told(other) == told}
    if others:
        return "on both sides, so not the change's doing"
    kernel = cell.kernel
    if not cell.side and not (kernel.mutant or kernel.patch or kernel.dirty):
        return "the tree's own: this kernel has no change on top"
    return ""


def _told(cell: Cell) -> tuple[Outcome, str] | None:
    return (cell.verdict.outcome, cell.verdict.title) if cell.verdict else None


def _report_document(report: GuestReport | None) -> dict[str, Any] | None:
    """The guest's report with JSON's keys, and its tables in hexadecimal."""
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
        "cpus": {str(cpu): domain for cpu, domain in report.cpus.items()},
        "memory": {str(domain): asdict(memory) for domain, memory in report.memory.items()},
        "distances": [[*pair, value] for pair, value in report.distances.items()],
        "zones": {name: asdict(zone) for name, zone in report.zones.items()},
        "tables": {name: table.hex() for name, table in report.tables.items()},
    }


def backtrace_lines(frames: Sequence[Mapping[str, Any]]) -> list[str]:
    """A symbolised backtrace for people, innermost first; inlined callers are marked.

    Args:
        frames: ``SymbolizedFrame`` as JSON's types.
    """
    lines = []
    for number, frame in enumerate(frames):
        lines += [
            f"#{number:<3}{inlined['function']} (inlined) at {_place(inlined)}"
            for inlined in frame["inlined"]
        ]
        guess = "" if frame["certain"] else " (or another of that name)"
        lines.append(f"#{number:<3}{frame['function']} at {_place(frame)}{guess}")
    return lines


def _place(spot: Mapping[str, Any]) -> str:
    return f"{spot['file']}:{spot['line']}" if spot["file"] else "?"
