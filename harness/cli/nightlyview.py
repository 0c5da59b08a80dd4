"""Nights and plans of nights as lines and as JSON documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from rich.table import Table

from harness.nightly.news import culprit_in_words, places_in_words
from harness.nightly.sentence import night_sentence

if TYPE_CHECKING:
    from harness.history.nights import NightCount
    from harness.nightly.night import JudgedNight, Problem
    from harness.nightly.result import Result
    from harness.runs.nights.preview import NightPreview


def night_lines(judged: JudgedNight, *, verbose: bool = False) -> Iterator[str]:
    """Return the lines of a night: the sentence, news, problems, and what did not run."""
    night = judged.night
    yield f"night {night.number} of {night.plan}, {night.started:%Y-%m-%d %H:%M} UTC, {night.state}"
    yield f"{night_sentence(judged)}."
    for note in night.notes:
        yield f"  {note}"
    if judged.news:
        yield "news:"
        yield from (f"  {each.kind}: {each.text}" for each in judged.news)
    else:
        yield "no news"
    shown = [each for each in judged.problems if each.open or verbose]
    if shown:
        yield "problems:"
    for problem in shown:
        yield from _problem_lines(problem, verbose=verbose)


def _problem_lines(problem: Problem, *, verbose: bool) -> Iterator[str]:
    rate = problem.rate
    state = "" if problem.open else ", fixed"
    known = f", known issue {problem.known_issue}" if problem.known_issue else ""
    yield f"  {problem.id}  {problem.classification}{state}{known}: {problem.title}"
    yield (
        f"            {places_in_words(problem.slots)}; {rate.failed} of {rate.boots} boots "
        f"({rate.low:.0%} to {rate.high:.0%}); since night {problem.first_night}; {problem.why}"
    )
    if problem.culprit is not None:
        yield f"            since {culprit_in_words(problem.culprit)}"
        if verbose:
            yield from (f"            {line}" for line in problem.culprit.proof)
    elif problem.why_unknown and problem.open:
        yield f"            culprit unknown: {problem.why_unknown}"
    if problem.fixed_by is not None:
        yield f"            fixed by {culprit_in_words(problem.fixed_by)}"


def night_document(judged: JudgedNight) -> dict[str, Any]:
    """Return a night as a JSON document."""
    night = judged.night
    return {
        "plan": night.plan,
        "number": night.number,
        "state": night.state.value,
        "started": night.started.isoformat(),
        "ended": night.ended.isoformat() if night.ended else None,
        "exit_code": night.exit_code,
        "compared_with": night.compared_with,
        "sentence": night_sentence(judged),
        "notes": list(night.notes),
        "branches": [asdict(branch) for branch in night.branches],
        "revisions": [
            {**asdict(each), "date": each.date.isoformat() if each.date else None}
            for each in night.revisions
        ],
        "news": [asdict(each) for each in judged.news],
        "problems": [_problem_document(each) for each in judged.problems],
        "results": [result_document(each) for each in judged.results],
    }


def _problem_document(problem: Problem) -> dict[str, Any]:
    incidents = [
        {
            "slot": asdict(each.slot),
            "first_bad": each.first_bad,
            "last_good": each.last_good,
            "failing": each.failing.id,
            "passing": each.passing.id if each.passing else None,
        }
        for each in problem.incidents
    ]
    return {**asdict(problem), "incidents": incidents}


def result_document(result: Result) -> dict[str, Any]:
    """Return a result as a JSON document."""
    started = result.started.isoformat() if result.started else None
    return {**asdict(result), "started": started}


def plan_lines(found: NightPreview) -> Iterator[str]:
    """Return the lines of a night that would run."""
    plan = found.opened.plan
    budget = f", budget {plan.budget}" if plan.budget else ""
    yield f"plan {plan.name}: every {plan.every}{budget}"
    for branch in found.branches:
        since = f"since {branch.base[:12]}" if branch.base else "never judged before"
        yield f"  {branch.name} at {branch.tip[:12] or 'no revision'}, {since}"
        if branch.problem:
            yield f"    not fetched: {branch.problem}"
    yield from (f"  {note}" for note in found.notes)
    yield f"{found.controls} negative control{'' if found.controls == 1 else 's'}"
    for each in found.revisions:
        revision = each.revision
        yield (
            f"{revision.branch} {revision.commit[:12]}  {each.cells} cells, about "
            f"{each.seconds:.0f} s without builds; {each.why}  {revision.subject}"
        )


def plan_document(found: NightPreview) -> dict[str, Any]:
    """Return a night that would run as a JSON document."""
    return {
        "plan": found.opened.plan.name,
        "branches": [asdict(branch) for branch in found.branches],
        "controls": found.controls,
        "notes": list(found.notes),
        "cells": [cell.document() for cell in found.opened.cells],
        "revisions": [
            {
                "branch": each.revision.branch,
                "commit": each.revision.commit,
                "rank": each.revision.rank,
                "subject": each.revision.subject,
                "cells": each.cells,
                "seconds": round(each.seconds, 1),
                "why": each.why,
            }
            for each in found.revisions
        ],
    }


def trend_table(rows: Sequence[NightCount]) -> Table:
    """Return a table of nights, in their order."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    numbers = ("exit", "ran", "failed", "host", "not run", "minutes")
    for heading in ("night", "began", "state", *numbers):
        justify: Literal["left", "right"] = "right" if heading in numbers else "left"
        table.add_column(heading, justify=justify, no_wrap=True)
    for row in rows:
        code = "-" if row.exit_code is None else str(row.exit_code)
        counts = (row.ran, row.failed, row.host_failed, row.not_run)
        table.add_row(
            str(row.number), f"{row.started:%Y-%m-%d %H:%M}", row.state, code,
            *map(str, counts), f"{row.spent / 60:.0f}",
        )  # fmt: skip
    return table
