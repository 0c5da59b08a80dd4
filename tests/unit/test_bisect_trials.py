"""What boots and commands say in a bisection."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.bisect.evidence import Kind
from harness.bisect.tester import Trial
from harness.console.report import GuestReport
from harness.console.stages import Stage
from harness.outcome import Outcome
from harness.results.record import Cell
from harness.runs.examination import boot_trial, command_trial
from harness.verdict import Verdict

REPORT = GuestReport("minimal", "15.1", 1501000, "HARNESS", 2, {}, {}, {}, {})
CELL = Cell("cell", "", "FreeBSD", 2, "kmsan", "qemu", "tcg")


def verdict(outcome: Outcome, *titles: str, entered: bool = True) -> Verdict:
    return Verdict(outcome, titles[0] if titles else "booted to init", Stage.KERNEL, entered,
                   seconds=3.0, titles=titles)  # fmt: skip


def reporting(title: str) -> Verdict:
    return replace(verdict(Outcome.BOOTED), reports=(title,))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (replace(CELL, verdict=verdict(Outcome.BOOTED), report=REPORT), (Kind.PASSED, ())),
        (replace(CELL, verdict=verdict(Outcome.PANIC, "a", "b")), (Kind.FAILED, ("a", "b"))),
        (replace(CELL, verdict=verdict(Outcome.PANIC, "late"), report=REPORT),
         (Kind.FAILED, ("late",))),
        (replace(CELL, verdict=verdict(Outcome.KMSAN, "m1", "m2"), report=REPORT),
         (Kind.PASSED, ("m1", "m2"))),
        (replace(CELL, verdict=verdict(Outcome.KMSAN, "m1")), (Kind.FAILED, ("m1",))),
        (replace(CELL, verdict=verdict(Outcome.DIFFERS, "other domains"), report=REPORT),
         (Kind.FAILED, ("other domains",))),
        (replace(CELL, verdict=verdict(Outcome.UNVERIFIED, "no nonce"), report=REPORT),
         (Kind.INFRA, ())),
        (replace(CELL, verdict=verdict(Outcome.HANG, "silent")), (Kind.FAILED, ("silent",))),
        (replace(CELL, verdict=reporting("race"), report=REPORT), (Kind.PASSED, ("race",))),
        (replace(CELL, verdict=reporting("race"), report=REPORT, failing=("race",)),
         (Kind.FAILED, ("race",))),
        (replace(CELL, error="no memory"), (Kind.INFRA, ())),
        (replace(CELL, verdict=verdict(Outcome.LOADER, "lost", entered=False)), (Kind.INFRA, ())),
    ],
)  # fmt: skip
def test_a_boot_that_reached_its_goal_passed_whatever_it_reported_and_survived(
    cell: Cell, expected: tuple[Kind, tuple[str, ...]]
) -> None:
    trial = boot_trial(cell)
    assert (trial.kind, trial.titles) == expected


def test_the_hosts_failure_is_told_in_its_own_words() -> None:
    assert boot_trial(replace(CELL, error="no memory")).error == "no memory"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0, Trial(Kind.PASSED, (), "good", 2.0)),
        (1, Trial(Kind.FAILED, ("look failed",), "bad (1)", 2.0)),
        (127, Trial(Kind.FAILED, ("look failed",), "bad (127)", 2.0)),
        (125, Trial(Kind.SKIPPED, (), "skip", 2.0)),
        (None, Trial(Kind.FAILED, ("look took longer than 60 s",), "bad", 2.0)),
    ],
)
def test_a_commands_exit_status_means_what_git_bisect_run_takes_it_for(
    status: int | None, expected: Trial
) -> None:
    assert command_trial("look", status, 60.0, 2.0) == expected


@pytest.mark.parametrize("status", [128, 200, 255, -9])
def test_a_command_that_gives_up_says_nothing_of_the_revision(status: int) -> None:
    assert command_trial("look", status, 60.0, 2.0).kind is Kind.INFRA
