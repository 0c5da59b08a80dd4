"""Rows of the tables as the dataclasses of a judged night, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from harness.nightly.night import (
    BranchNight,
    Classification,
    Incident,
    News,
    NewsKind,
    Night,
    NightState,
    Problem,
    ProvenCulprit,
    Rate,
    RevisionNight,
)
from harness.nightly.result import CaseResult, Purpose, Result, Slot, Status

Row = Mapping[str, Any]

_RESULT = tuple(each.name for each in fields(Result) if each.name not in ("slot", "id", "tests"))
_BRANCH = tuple(each.name for each in fields(BranchNight))
_REVISION = tuple(each.name for each in fields(RevisionNight))


def result_values(result: Result) -> dict[str, Any]:
    """Return the columns of a result, but for those of its night."""
    values = {name: getattr(result, name) for name in _RESULT}
    return {**values, "branch": result.slot.branch, "cell": result.slot.cell}


def case_values(case: CaseResult) -> dict[str, Any]:
    """Return the columns of a test's result, but for that of its suite."""
    own = {name: getattr(case, name) for name in ("name", "outcome", "reason", "seconds")}
    return {**own, "status": (Status.PASSED if case.good else Status.FAILED).value}


def case_of(row: Row) -> CaseResult:
    """Return the test's result of a row of ``test_cases``."""
    good = row["status"] == Status.PASSED.value
    return CaseResult(row["name"], row["outcome"], good, row["reason"], row["seconds"])


def result_of(row: Row) -> Result:
    """Return the result of a row of ``results``, without tests."""
    values = {name: row[name] for name in _RESULT}
    values["status"], values["purpose"] = Status(row["status"]), Purpose(row["purpose"])
    values["frames"], values["opinions"] = tuple(row["frames"]), tuple(row["opinions"])
    return Result(slot=Slot(row["branch"], row["cell"]), id=row["id"], **values)


def branch_of(row: Row) -> BranchNight:
    """Return the branch of a row of ``branches``."""
    return BranchNight(**{name: row[name] for name in _BRANCH})


def revision_of(row: Row) -> RevisionNight:
    """Return the revision of a row of ``revisions``."""
    return RevisionNight(**{name: row[name] for name in _REVISION})


def night_of(
    plan: str, row: Row, branches: Sequence[BranchNight], revisions: Sequence[RevisionNight]
) -> Night:
    """Return the night of a row of ``nights``."""
    return Night(
        plan=plan,
        number=row["number"],
        state=NightState(row["state"]),
        started=row["started"],
        ended=row["ended"],
        compared_with=row["compared_with"],
        exit_code=row["exit_code"],
        version=row["version"],
        host=row["host"],
        command=tuple(row["command"]),
        budget=row["budget"],
        spent=row["spent"],
        notes=tuple(row["notes"]),
        branches=tuple(branches),
        revisions=tuple(revisions),
    )


def night_values(night: Night) -> dict[str, Any]:
    """Return the columns of a night, but for its plan and the plan's cells."""
    names = (
        "number", "started", "ended", "compared_with", "exit_code", "version", "host", "budget",
        "spent",
    )  # fmt: skip
    values = {name: getattr(night, name) for name in names}
    lists = {"command": list(night.command), "notes": list(night.notes)}
    return {**values, **lists, "state": night.state.value}


def problem_values(problem: Problem) -> dict[str, Any]:
    """Return the columns of a judged problem, but for its problem and its night."""
    return {
        "classification": problem.classification.value,
        "open": problem.open,
        "first_night": problem.first_night,
        "last_night": problem.last_night,
        "failed": problem.rate.failed,
        "boots": problem.rate.boots,
        "low": problem.rate.low,
        "high": problem.rate.high,
        "streak": problem.streak,
        "repeats_failed": problem.repeats[0],
        "repeats": problem.repeats[1],
        "slots": [[slot.branch, slot.cell] for slot in problem.slots],
        "culprit": _culprit_document(problem.culprit),
        "fixed_by": _culprit_document(problem.fixed_by),
        "why_unknown": problem.why_unknown,
        "known_issue": problem.known_issue,
        "why": problem.why,
    }


def problem_of(row: Row, incidents: Sequence[Incident] = ()) -> Problem:
    """Return the problem of a row of ``judged`` joined with ``problems``."""
    return Problem(
        id=row["key"],
        title=row["title"],
        kind=row["kind"],
        classification=Classification(row["classification"]),
        rate=Rate(row["failed"], row["boots"], row["low"], row["high"]),
        streak=row["streak"],
        repeats=(row["repeats_failed"], row["repeats"]),
        first_night=row["first_night"],
        last_night=row["last_night"],
        open=row["open"],
        incidents=tuple(incidents),
        slots=tuple(Slot(*pair) for pair in row["slots"]),
        culprit=_culprit_of(row["culprit"]),
        fixed_by=_culprit_of(row["fixed_by"]),
        why_unknown=row["why_unknown"],
        known_issue=row["known_issue"],
        why=row["why"],
    )


def news_values(news: News) -> dict[str, Any]:
    """Return the columns of news, but for its plan and night."""
    return {
        "kind": news.kind.value,
        "key": news.key,
        "text": news.text,
        "problem": news.problem,
        "branch": news.slot.branch if news.slot else None,
        "cell": news.slot.cell if news.slot else None,
        "commit": news.commit,
    }


def news_of_row(row: Row) -> News:
    """Return the news of a row of ``news``."""
    slot = Slot(row["branch"], row["cell"]) if row["branch"] is not None else None
    return News(NewsKind(row["kind"]), row["key"], row["text"], row["problem"], slot, row["commit"])


def _culprit_document(culprit: ProvenCulprit | None) -> dict[str, Any] | None:
    if culprit is None:
        return None
    slots = [[slot.branch, slot.cell] for slot in culprit.slots]
    return {**asdict(culprit), "slots": slots}


def _culprit_of(document: Mapping[str, Any] | None) -> ProvenCulprit | None:
    if document is None:
        return None
    return ProvenCulprit(
        document["commit"],
        document["subject"],
        tuple(Slot(*pair) for pair in document["slots"]),
        tuple(document["proof"]),
        document["run"],
    )
