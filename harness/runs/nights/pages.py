"""Makes the pages of a plan's nights from its history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from harness.history.past import PastNights
from harness.nightly.cells import NightCell
from harness.pages.nightsite import (
    CHARTED,
    write_index,
    write_month,
    write_night,
    write_night_page,
)
from harness.pages.nightviews import NightViews, PlannedCells
from harness.pages.rendering import Site

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from harness.nightly.night import JudgedNight
    from harness.nightly.result import Slot
    from harness.runs.nights.openplan import OpenPlan

#: Nights that the index lists; a month's page has all of its nights.
_LISTED: Final = CHARTED


def night_pages(opened: OpenPlan, directory: Path, nights: Iterable[int] = ()) -> Path:
    """Write the pages of some nights, of the newest, and the index; return the index.

    Args:
        opened: the plan.
        directory: the directory of the pages.
        nights: numbers of nights; the newest is always among them.

    Raises:
        UsageError: there is no such night, or none at all, or the directory has a first page that
            the harness did not write.
        InfraError: a page cannot be written, or the history cannot be read.
    """
    past, site = PastNights(opened.reader), Site(directory)
    newest = opened.reader.judged_night()
    wanted = sorted({*nights, newest.night.number})
    site.begin()
    months: dict[str, None] = {}
    for number in wanted:
        judged = newest if number == newest.night.number else opened.reader.judged_night(number)
        before, after = past.beside(number)
        if before is not None and before not in wanted:  # whose page had no link to this one
            earlier = _views(opened, past, opened.reader.judged_night(before))
            write_night_page(site, earlier, past.beside(before)[0], number)
        write_night(site, _views(opened, past, judged), before, after)
        months[f"{judged.night.started:%Y-%m}"] = None
    for month in months:
        write_month(site, opened.plan.name, month, past.lines(month=month))
    problems = [each for each in newest.problems if each.open]
    write_index(site, opened.plan.name, newest, past.lines(_LISTED), problems, past.months())
    return directory / "index.html"


def begin_pages(directory: Path) -> None:
    """Check, before a night runs, that its pages can be written.

    Raises:
        UsageError: the directory has a first page that the harness did not write.
        InfraError: it cannot be written.
    """
    Site(directory).begin()


def _views(opened: OpenPlan, past: PastNights, judged: JudgedNight) -> NightViews:
    cells: dict[Slot, NightCell] = {}
    for document in past.cells(judged.night.number):
        cell = msgspec.convert(document, NightCell)
        cells[cell.slot] = cell
    kernconfs = {each.name: each.kernconf for each in opened.branches if each.kernconf}
    return NightViews(judged, PlannedCells(cells, kernconfs), past)
