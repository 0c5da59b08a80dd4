"""Named cases of UMA's zone layer: valid calls that break an unchanged kernel."""

from __future__ import annotations

from typing import Final

from harness.cases import NamedCase, Shown
from harness.check.subject import KnownCase
from harness.outcome import Outcome
from harness.subsystems.zones.bucketcases import BUCKET_CASES
from harness.subsystems.zones.flagcases import FLAG_CASES
from harness.subsystems.zones.limitcases import LIMIT_CASES
from harness.subsystems.zones.makecase import change
from harness.subsystems.zones.zonecases import ZONE_CASES

ZONES_CASES: Final = (*BUCKET_CASES, *LIMIT_CASES, *FLAG_CASES, *ZONE_CASES)
"""Bugs of an unchanged kernel."""

_UNFILLED: Final = change(
    "zone_import",
    "reserve-unasked",
    "a bucket is filled no further once a domain has no free items left, as if they were reserved",
    "keg->uk_reserve > 0 && dom->ud_free_items <= keg->uk_reserve",
    "dom->ud_free_items <= keg->uk_reserve",
)

MENDED_CASES: Final = (
    NamedCase(
        name="unfilled-bucket",
        story="zone_import() stopped filling a bucket when a domain had as few free items as are "
        "reserved, even where none are: each bucket then took one slab's items at the most",
        introduced="",
        fixed="7585c5db25a9",
        functions=("zone_import",),
        command=("check", "--numa", "2", "--kasan", "--subsystem", "zones",
                 "--mutant", _UNFILLED.name),
        shown=(
            Shown("13.", Outcome.BOOTED, agrees=False),
            Shown("15.", Outcome.BOOTED, agrees=False),
        ),
        mutant=_UNFILLED,
    ),
)  # fmt: skip
"""Fixed bugs, which a mutant brings back."""


def known_cases(title: str, trace: str) -> list[KnownCase]:
    """Return the cases that a finding may be of, those with a fix first."""
    found = [case for case in ZONES_CASES if case.is_of(title, trace)]
    return [KnownCase(case.name, has_fix=case.fix is not None)
            for case in sorted(found, key=lambda case: case.fix is None)]  # fmt: skip
