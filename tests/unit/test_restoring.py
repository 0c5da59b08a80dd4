"""Which guests start from a ready snapshot."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_guests import plan

from harness.boot.plan import BootPlan
from harness.boot.restoring import is_restorable
from harness.debug.plan import DebugPlan
from harness.guest.fake import FakeBackend, Script
from harness.host.accelerator import Accelerator
from harness.host.clock import ManualClock
from harness.host.sharedmemory import can_share_memory

ASKED = plan(snapshot=True)


def backend(*, saves: bool) -> FakeBackend:
    made = FakeBackend(ManualClock(), lambda _: Script())
    made.saves_state = saves
    return made


@pytest.mark.skipif(not can_share_memory(), reason="this host has no memfd_create(2)")
def test_a_guest_that_asks_for_it_is_restored_where_the_backend_saves_state() -> None:
    assert is_restorable(ASKED, backend(saves=True), attended=False)


@pytest.mark.parametrize(
    ("asked", "saves", "attended"),
    [
        (plan(), True, False),
        (ASKED, False, False),
        (ASKED, True, True),
        (replace(ASKED, accelerator=Accelerator.KVM), True, False),
        (replace(ASKED, debug=DebugPlan(at_panic=True)), True, False),
    ],
    ids=["not asked for", "not saved", "a user looks on", "KVM", "a debugger looks on"],
)
def test_others_boot(asked: BootPlan, saves: bool, attended: bool) -> None:
    assert not is_restorable(asked, backend(saves=saves), attended=attended)
