"""Writes the pages of nights: an index, and a page for each night, problem and cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from harness.nightly.news import places_in_words
from harness.nightly.night import NightState
from harness.nightly.sentence import night_sentence
from harness.pages.charts import Bar, Chart, bars
from harness.pages.consolelines import whole_text
from harness.pages.matrix import (
    BranchMatrix,
    FieldMark,
    Row,
    failure_anchor,
    matrices,
    slot_page,
)
from harness.pages.nightviews import NightViews, problem_chart, result_rows
from harness.pages.rendering import EXIT_STYLES

if TYPE_CHECKING:
    from harness.nightly.night import JudgedNight, Problem
    from harness.nightly.past import NightLine
    from harness.nightly.result import Slot
    from harness.pages.rendering import Site

#: Nights of a chart.
CHARTED: Final = 60


def write_night(
    site: Site, views: NightViews, before: int | None = None, after: int | None = None
) -> None:
    """Write the pages of a night, and of its problems and cells.

    Args:
        site: the directory.
        views: what the pages show.
        before, after: the numbers of the nights beside it; None for none.

    Raises:
        InfraError: a file cannot be written.
    """
    judged = views.judged
    for problem in judged.problems:
        _write_problem(site, views, problem)
    for slot in sorted({each.slot for each in judged.results}):
        _write_cell(site, views, slot)
    for place, console in views.consoles.items():
        if console:
            site.text(place, whole_text(console))
    write_night_page(site, views, before, after)


def write_night_page(
    site: Site, views: NightViews, before: int | None = None, after: int | None = None
) -> None:
    """Write the page of a night alone; see ``write_night``.

    Raises:
        InfraError: it cannot be written.
    """
    judged, found = views.judged, matrices(views.judged)
    site.page(
        f"nights/{judged.night.number}/index.html",
        "night.html",
        night=judged.night,
        judged=judged,
        sentence=night_sentence(judged),
        style=_night_style(judged),
        other_news=[each for each in judged.news if not each.problem],
        groups=views.problems(),
        views=views,
        matrices=found,
        marks=_used_marks(found),
        shares=any(each.shared is not None for each in judged.results),
        controls=views.controls(),
        spoilt_attempts=views.spoilt_attempts(),
        hosts=views.hosts(),
        not_run=views.not_run(),
        where=places_in_words,
        slot_page=slot_page,
        before=before,
        after=after,
    )


def write_index(
    site: Site, plan: str, newest: JudgedNight, nights: Sequence[NightLine],
    problems: Sequence[Problem], months: Sequence[str],
) -> None:  # fmt: skip
    """Write the index.

    Args:
        site: the directory.
        plan: name of the plan.
        newest: the newest night.
        nights: the newest nights, the newest first.
        problems: the open problems.
        months: the months of all nights, ``2026-11``, the newest first; each has a page.

    Raises:
        InfraError: a file cannot be written.
    """
    charted = [*reversed(nights[:CHARTED])]
    chart = _kept(site, "failures.svg", _failure_chart(charted))
    site.page(
        "index.html", "index.html",
        plan=plan, night=newest.night, sentence=night_sentence(newest), style=_night_style(newest),
        nights=nights, problems=problems, months=months, chart=chart, where=places_in_words,
    )  # fmt: skip


def write_month(site: Site, plan: str, month: str, nights: Sequence[NightLine]) -> None:
    """Write the page of a month, with its nights, the newest first.

    Raises:
        InfraError: it cannot be written.
    """
    site.page(f"nights/{month}.html", "month.html", plan=plan, month=month, nights=nights)


def _write_problem(site: Site, views: NightViews, problem: Problem) -> None:
    """Write the page of a problem, unless a later night has judged it, too."""
    nights = views.history.problem_nights(problem.id, CHARTED)
    if nights and nights[-1].number != views.judged.night.number:
        return
    place = f"problems/{problem.id}"
    chart = _kept(site, f"{place}.svg", problem_chart(nights))
    site.page(
        f"{place}.html",
        "problem.html",
        night=views.judged.night,
        problem=problem,
        configurations=views.configurations(problem),
        failures=views.of_problem(problem),
        nights=list(reversed(nights)),
        chart=chart,
        slot_page=slot_page,
    )


def _write_cell(site: Site, views: NightViews, slot: Slot) -> None:
    number = views.judged.night.number
    place = slot_page(slot, number)
    boots = views.history.boots(slot, number, CHARTED)
    charts = {
        name: _kept(site, f"{place.removesuffix('.html')}-{name}.svg", chart)
        for name, chart in views.cell_charts(slot, boots).items()
    }
    site.page(
        place,
        "cell.html",
        night=views.judged.night,
        slot=slot,
        cell=views.planned.cells.get(slot),
        rows=result_rows(views.judged, slot),
        failures=views.of_slot(slot),
        anchor_of=failure_anchor,
        tests=views.tests(slot),
        charts=charts,
    )


def _kept(site: Site, place: str, chart: Chart | None) -> tuple[str, Chart] | None:
    if chart is None:
        return None
    site.text(place, chart.svg)
    return place, chart


def _failure_chart(nights: Sequence[NightLine]) -> Chart | None:
    if len(nights) < 2:
        return None
    values = [Bar(f"night {each.number}", each.failed, each.host_failed) for each in nights]
    return bars(values, "Failures by night, host failures on top")


def _used_marks(found: Sequence[BranchMatrix]) -> list[FieldMark]:
    """Return the marks of matrices, for the legend."""
    rows = [row for each in found for row in each.rows if isinstance(row, Row)]
    used = {field.mark for row in rows for field in row.fields}
    return [mark for mark in FieldMark if mark in used]


def _night_style(judged: JudgedNight) -> str:
    night = judged.night
    if night.state is not NightState.ENDED:
        return "host"
    return EXIT_STYLES.get(night.exit_code or 0, "host")
