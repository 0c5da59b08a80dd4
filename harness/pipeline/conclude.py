"""What a boot that has ended comes to: its verdict, its guest's report, its events on disk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from harness.console.symbolize import Symbolizer, find_program
from harness.host.workspace import write_atomic
from harness.pipeline.agreement import disagreements, report_of
from harness.verdict import Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.console.report import GuestReport
    from harness.host.process import Runner
    from harness.kernel.artifact import KernelArtifact
    from harness.outcome import Ending
    from harness.pipeline.listen import Heard
    from harness.pipeline.plan import BootPlan


@dataclass(frozen=True, slots=True)
class Booted:
    """A boot that has ended.

    Args:
        verdict: what became of it, frames symbolised.
        stages: seconds from the guest's start to each stage's first event.
        report: what init said; None if it did not come to say all of it.
        disagreements: where the guest does not see the machine that it was given.
    """

    verdict: Verdict
    stages: Mapping[str, float]
    report: GuestReport | None
    disagreements: tuple[str, ...]


def conclude(
    kernel: KernelArtifact,
    plan: BootPlan,
    heard: Heard,
    ending: Ending,
    seconds: float,
    folder: Path,
    runner: Runner,
) -> Booted:
    """Judge a boot, and keep its events in ``folder``.

    Args:
        kernel: what was booted; its debug symbols name the frames.
        plan: how.
        heard: all that came from the console.
        ending: how the guest ended.
        seconds: how long it ran.
        folder: of the cell's record.
        runner: starts the symbolizer.

    Raises:
        InfraError: the host cannot symbolise, or the disk is full.
    """
    symbolizer = Symbolizer(runner, kernel.debug, find_program(), kernel.identity.source_roots)
    verdict = judge(
        heard.events, ending, plan.until, seconds=seconds, first_stage=heard.first,
        function_at=symbolizer.function_at,
    )  # fmt: skip
    _write_events(folder / "events.jsonl", heard)
    report, wrong = report_of(heard.events)
    if report is not None:
        wrong = disagreements(plan.topology, report)
    verdict = replace(verdict, symbolized=symbolizer.symbolize(verdict.frames))
    return Booted(verdict, heard.stages, report, wrong)


def _write_events(path: Path, heard: Heard) -> None:
    lines = (
        json.dumps({"seconds": round(at, 3), "event": type(event).__name__, **asdict(event)})
        for event, at in zip(heard.events, heard.times, strict=True)
    )
    write_atomic(path, "".join(f"{line}\n" for line in lines))
