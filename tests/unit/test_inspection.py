"""What is looked at before a guest runs, and what its report must match."""

from __future__ import annotations

from pathlib import Path

from fake_guests import build_id_of, made_kernel
from guest_specs import guest_spec

from harness.boot.inspection import Inspection, evidence_of
from harness.guest.fake import FakeGuest, Script
from harness.host.clock import ManualClock


def test_a_machine_that_differs_is_found_before_the_guest_runs() -> None:
    inspection = Inspection(guest_spec(), None)
    assert not inspection.differences
    inspection(FakeGuest(Script((), differences=("1 CPU instead of 2",)), ManualClock()))
    assert inspection.differences == ("1 CPU instead of 2",)


def test_evidence_is_of_the_kernels_file_and_of_the_requested_machine(tmp_path: Path) -> None:
    inspection = Inspection(guest_spec(), None, ("1 CPU instead of 2",))
    evidence = evidence_of(made_kernel(tmp_path, 3), "ab" * 8, inspection, ("the machine",))
    assert evidence.nonce == "ab" * 8
    assert evidence.facts.build_id == build_id_of(3).hex()
    assert evidence.topology == guest_spec().topology
    assert evidence.machine_differences == ("1 CPU instead of 2",)
    assert evidence.unproven == ("the machine",)
