"""Whole checks of a fake guest: it boots, and the model itself answers at its second port."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_guests import fake_booter, made_kernel, plan, stays_up
from model_guest import ModelGuest

from harness.boot.cellboot import boot_cell
from harness.boot.cellplan import CellPlan
from harness.check.checker import Checker, CheckPlan
from harness.check.result import Conclusion
from harness.guest.fake import Script
from harness.guest.spec import GuestSpec
from harness.guest.topology import Topology
from harness.host.progress import Recorded
from harness.outcome import Expectation, Outcome
from harness.results.record import Cell
from harness.sanitizers import NONE
from harness.source.request import KernelRequest
from harness.subsystems.uma.model.variants import find_variant
from harness.subsystems.uma.subsystem import UMA

Checked = Callable[..., Cell]


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    """The cell of a guest that has one variant's code and is held to another's."""

    def check(code: str, held_to: str = "13-after", **changed: object) -> Cell:
        def play(spec: GuestSpec) -> Script:
            nodes = len(spec.topology.nodes)
            return stays_up(spec, lambda: ModelGuest(find_variant(code), nodes, **changed))  # type: ignore[arg-type]

        with fake_booter(tmp_path, play) as booter:
            held = CheckPlan(UMA.held_to(UMA.variant(held_to)), operations=60, seed=1)
            cell = CellPlan(
                "made-numa2",
                "",
                KernelRequest("made"),
                NONE,
                plan(topology=Topology.even(2, 2)),
                checker=Checker(held, booter.clock),
            )
            expected = Expectation((Outcome.BOOTED,), "it is made so")
            kernel, run = made_kernel(tmp_path), tmp_path / "run"
            return boot_cell(cell, kernel, booter, run, Recorded(), expected)

    return check


def outcome(cell: Cell) -> Outcome:
    assert cell.verdict, cell.error
    return cell.verdict.outcome


def test_a_check_through_the_second_port_agrees_with_the_same_code(checked: Checked) -> None:
    cell = checked("13-after")
    assert outcome(cell) is Outcome.BOOTED
    assert cell.check is not None
    assert cell.check.conclusion is Conclusion.AGREED, cell.check.why


def test_a_check_finds_other_code_and_shrinks_it(checked: Checked) -> None:
    cell = checked("13-before")
    assert outcome(cell) is Outcome.BOOTED
    assert cell.check is not None
    assert cell.check.conclusion is Conclusion.DIFFERS
    assert cell.check.difference is not None
    assert not cell.as_expected


def test_a_guest_that_falls_silent_in_a_check_hangs(checked: Checked) -> None:
    cell = checked("13-after", answer=lambda body: "")
    assert outcome(cell) is Outcome.HANG
    assert cell.check is not None
    assert cell.check.conclusion is Conclusion.SILENT
