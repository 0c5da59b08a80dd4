"""Named cases of UMA's zone layer: what legal use of an untouched kernel breaks."""

from __future__ import annotations

from typing import Final

from harness.check.subject import KnownCase
from harness.subsystems.zones.bucketcases import BUCKET_CASES
from harness.subsystems.zones.zonecases import ZONE_CASES

ZONES_CASES: Final = (*BUCKET_CASES, *ZONE_CASES)


def known_cases(title: str, trace: str) -> list[KnownCase]:
    """The cases that a finding may be of, those with a fix first."""
    found = [case for case in ZONES_CASES if case.is_of(title, trace)]
    return [KnownCase(case.name, has_fix=case.fix is not None)
            for case in sorted(found, key=lambda case: case.fix is None)]  # fmt: skip
