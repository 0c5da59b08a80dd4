"""Evaluates a boot that has ended: verdict, init's report, events on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from msgspec import to_builtins

from harness.boot.agreement import disagreements
from harness.console.excerpt import excerpt
from harness.console.symbolize import Symbolizer, find_program
from harness.debug.plan import NO_FINDINGS, DebugFindings
from harness.host.cachesize import format_size
from harness.host.workspace import write_atomic
from harness.outcome import Outcome
from harness.verdict import Verdict, judge
from harness.verification import (
    Evidence,
    Verification,
    doubting,
    verification_of,
    weighed,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.boot.listen import Heard
    from harness.boot.plan import BootPlan
    from harness.console.report import GuestReport
    from harness.host.loglimits import LimitedLog
    from harness.host.process import Runner
    from harness.kernel.artifact import KernelArtifact
    from harness.outcome import Ending


#: File of the console's bytes in a cell's directory.
CONSOLE_LOG = "console.log"


@dataclass(frozen=True, slots=True)
class Booted:
    """A boot that has ended.

    Args:
        verdict: the verdict that counts, with symbolized frames; ``unverified`` without proof.
        shown: what the console shows, proven or not.
        stages: seconds from the guest's start to each stage's first event.
        cpu: seconds of CPU time that QEMU had used at each of them.
        report: init's report; None if it is incomplete.
        disagreements: differences between the machine and the kernel's view of it.
        verification: proof of which kernel ran on which machine, or what is missing.
        console: the lines around the failure, or the last ones; escaped.
        ending: how the guest ended.
        debug: what was found in the guest after its failure.
        snapshot: key of the snapshot that the guest was restored from; empty if it was booted.
    """

    verdict: Verdict
    shown: Verdict
    stages: Mapping[str, float]
    report: GuestReport | None
    disagreements: tuple[str, ...]
    verification: Verification
    console: tuple[str, ...]
    ending: Ending
    debug: DebugFindings = NO_FINDINGS
    cpu: Mapping[str, float] = field(default_factory=dict)
    snapshot: str = ""


def evaluate(
    kernel: KernelArtifact,
    plan: BootPlan,
    heard: Heard,
    ending: Ending,
    seconds: float,
    directory: Path,
    runner: Runner,
    evidence: Evidence,
) -> Booted:
    """Judge a boot and write its events to ``directory``.

    Args:
        kernel: the booted kernel; its debug symbols name the frames.
        plan: how it was booted.
        heard: the console's events.
        ending: how the guest ended.
        seconds: how long it ran.
        directory: the cell's directory.
        runner: starts the symbolizer.
        evidence: the facts that the report must match.

    Raises:
        InfraError: the symbolizer failed, or the disk is full.
    """
    symbolizer = Symbolizer(runner, kernel.debug, find_program(), kernel.identity.source_roots)
    shown = judge(
        heard.events, ending, plan.until, seconds=seconds, first_stage=heard.first,
        function_at=symbolizer.function_at,
    )  # fmt: skip
    _write_events(directory / "events.jsonl", heard)
    shown = replace(shown, symbolized=symbolizer.symbolize(shown.frames))
    verification, report = verification_of(heard.events, shown, evidence)
    failed_at = None if shown.outcome is Outcome.BOOTED else shown.offset
    wrong = disagreements(plan.topology, evidence.facts, report) if report is not None else ()
    if evidence.unproven:
        verification, wrong = doubting(verification, wrong), ()
    return Booted(
        weighed(shown, verification, wrong), shown, heard.stages, report, wrong, verification,
        excerpt(directory / CONSOLE_LOG, failed_at), ending, cpu=heard.cpu,
    )  # fmt: skip


def with_cut_console(booted: Booted, log: LimitedLog) -> Booted:
    """Add a warning if the log lacks the end of the console."""
    warning = (
        f"the guest printed {format_size(log.total)}; "
        f"the last {format_size(log.dropped)} are not in {CONSOLE_LOG}"
    )

    def warned(verdict: Verdict) -> Verdict:
        return replace(verdict, warnings=(*verdict.warnings, warning))

    return replace(booted, verdict=warned(booted.verdict), shown=warned(booted.shown))


def _write_events(path: Path, heard: Heard) -> None:
    lines = (
        json.dumps({"seconds": round(at, 3), "event": type(event).__name__, **to_builtins(event)})
        for event, at in zip(heard.events, heard.times, strict=True)
    )
    write_atomic(path, "".join(f"{line}\n" for line in lines))
