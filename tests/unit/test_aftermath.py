"""What is asked of a failed guest, and the reason where nothing is."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_guests import plan

from harness.boot.aftermath import Aftermath
from harness.console import events as e
from harness.debug.plan import NO_FINDINGS, DebugFindings, DebugPlan
from harness.guest.fake import FakeBackend, FakeGuest, Piece, Script
from harness.host.clock import ManualClock
from harness.host.progress import Recorded
from harness.outcome import Ending

PANIC = e.Panic(0, "no ideas left", 0)


def findings(
    directory: Path, asked: DebugPlan, ending: Ending, *events: e.Event, gone: bool = False
) -> DebugFindings:
    clock = ManualClock()
    guest = FakeGuest(Script((Piece(b"panic"),), ending=None), clock)
    if gone:
        guest.destroy()
    with FakeBackend(clock, lambda _: Script(())).open_port(directory / "console") as line:
        after = Aftermath(guest, line, plan(debug=asked), directory, clock, Recorded())
        return after.findings(ending, events)


def test_nothing_is_asked_that_was_not_planned(tmp_path: Path) -> None:
    assert findings(tmp_path, DebugPlan(), Ending.SILENCE, PANIC) == NO_FINDINGS


@pytest.mark.parametrize("ending", [Ending.STOPPED, Ending.EXITED, Ending.INTERRUPTED])
def test_a_guest_that_did_not_fail_is_left_alone(tmp_path: Path, ending: Ending) -> None:
    found = findings(tmp_path, DebugPlan(ddb=("bt",), dump=True), ending)
    assert found.ddb is not None
    assert found.dump is not None
    assert found.ddb.note == found.dump.note == "the guest did not fail"


def test_a_guest_that_has_ended_by_itself_says_why_it_cannot_be_asked(tmp_path: Path) -> None:
    found = findings(tmp_path, DebugPlan(ddb=("bt",)), Ending.STOPPED, PANIC, gone=True)
    assert found.ddb is not None
    assert "the guest ended by itself" in found.ddb.note


@pytest.mark.parametrize("ending", [Ending.SILENCE, Ending.DEADLINE, Ending.TIMEOUT, Ending.FLOOD])
def test_a_guest_that_hangs_is_dumped_but_not_asked(tmp_path: Path, ending: Ending) -> None:
    """It is not in the debugger; without QEMU, there is no dump either."""
    found = findings(tmp_path, DebugPlan(ddb=("bt",), dump=True), ending)
    assert found.ddb is not None
    assert found.dump is not None
    assert found.ddb.note == "the guest hangs, and did not enter the debugger"
    assert "has no QEMU to dump its memory" in found.dump.note
