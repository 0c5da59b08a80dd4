"""A night as JSON lines in the format of KCIDB, version 5.3 (the package ``kcidb-io``). Pure.

Each line is a whole document: one for each revision, with its builds and tests, and one with the
problems. A host failure is ``ERROR``, and what did not run ``MISS``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from harness.arch import GUEST
from harness.nightly.failures import BUILD
from harness.nightly.news import culprit_in_words
from harness.nightly.result import Result, Status

if TYPE_CHECKING:
    from harness.nightly.night import JudgedNight, Problem, RevisionNight

_VERSION: Final = {"major": 5, "minor": 3}
_ORIGIN: Final = "harness"
_HASH: Final = re.compile(r"[0-9a-f]{40}")
_STATUS: Final = {
    Status.PASSED: "PASS",
    Status.FAILED: "FAIL",
    Status.UNBUILT: "MISS",
    Status.HOST_FAILED: "ERROR",
    Status.NOT_RUN: "MISS",
}


def kcidb_text(judged: JudgedNight) -> str:
    """Return a night as JSON lines."""
    return "".join(f"{json.dumps(line)}\n" for line in kcidb_lines(judged))


def kcidb_lines(judged: JudgedNight) -> Iterator[dict[str, Any]]:
    """Return a night as documents of KCIDB."""
    for revision in judged.night.revisions:
        yield _revision_document(judged, revision)
    if judged.problems:
        issues = [_issue(judged, problem) for problem in judged.problems]
        incidents = [each for problem in judged.problems for each in _incidents(judged, problem)]
        yield {"version": _VERSION, "issues": issues, "incidents": incidents}


def _revision_document(judged: JudgedNight, revision: RevisionNight) -> dict[str, Any]:
    results = [
        each for each in judged.results
        if each.commit == revision.commit and each.slot.branch == revision.branch
    ]  # fmt: skip
    configurations = sorted({each.configuration for each in results})
    checkout = {
        "id": _checkout_id(judged, revision),
        "origin": _ORIGIN,
        "tree_name": _text(revision.branch),
        "git_commit_name": revision.commit,
        "git_commit_message": _text(revision.subject),
        "valid": True,
    }
    if _HASH.fullmatch(revision.commit):
        checkout["git_commit_hash"] = revision.commit
    return {
        "version": _VERSION,
        "checkouts": [checkout],
        "builds": [_build(judged, revision, each, results) for each in configurations],
        "tests": [
            document
            for each in results
            if each.status is not Status.UNBUILT
            for document in (_test(judged, revision, each), *_tests(judged, revision, each))
        ],
    }


def _build(
    judged: JudgedNight, revision: RevisionNight, configuration: str, results: list[Result]
) -> dict[str, Any]:
    own = [each for each in results if each.configuration == configuration]
    broken = next((each for each in own if each.status is Status.UNBUILT), None)
    ran = any(each.status in (Status.PASSED, Status.FAILED) for each in own)
    document: dict[str, Any] = {
        "id": _build_id(judged, revision, configuration),
        "checkout_id": _checkout_id(judged, revision),
        "origin": _ORIGIN,
        "architecture": GUEST.name,
        "config_name": _text(configuration),
        "status": "FAIL" if broken else "PASS" if ran else "MISS",
    }
    if broken is not None:
        document["log_excerpt"] = _text(broken.detail)
    return document


def _test(judged: JudgedNight, revision: RevisionNight, result: Result) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": _test_id(judged, result),
        "build_id": _build_id(judged, revision, result.configuration),
        "origin": _ORIGIN,
        "path": _path(result.slot.cell),
        "comment": _text(result.title),
        "status": _STATUS[result.status],
        "duration": result.seconds,
        "environment": {"comment": _text(result.topology)},
        "misc": {
            "purpose": result.purpose.value,
            "accelerator": result.accelerator,
            "shared": result.shared is not None,
        },
    }
    if result.started is not None:
        document["start_time"] = result.started.isoformat()
    if result.detail:
        document["log_excerpt"] = _text(result.detail)
    return document


def _tests(
    judged: JudgedNight, revision: RevisionNight, result: Result
) -> Iterator[dict[str, Any]]:
    """Yield the tests of a suite; each has the path of its cell before its own."""
    for each in result.tests:
        document = {
            "id": f"{_test_id(judged, result)}/{_text(each.name)}",
            "build_id": _build_id(judged, revision, result.configuration),
            "origin": _ORIGIN,
            "path": f"{_path(result.slot.cell)}.{'.'.join(map(_path, each.name.split('/')))}",
            "comment": _text(each.name),
            "status": "SKIP" if each.outcome == "skipped" else "PASS" if each.good else "FAIL",
            "duration": each.seconds,
        }
        if each.reason:
            document["log_excerpt"] = _text(each.reason)
        yield document


def _issue(judged: JudgedNight, problem: Problem) -> dict[str, Any]:
    words = [problem.why]
    if problem.culprit is not None:
        words.append(f"since {culprit_in_words(problem.culprit)}")
    return {
        "id": _issue_id(judged, problem),
        "version": judged.night.number,
        "origin": _ORIGIN,
        "report_subject": _text(problem.title),
        "comment": _text("; ".join(words)),
        "culprit": {"code": True, "tool": False, "harness": False},
        "misc": {
            "classification": problem.classification.value,
            "open": problem.open,
            "failed": problem.rate.failed,
            "boots": problem.rate.boots,
        },
    }


def _incidents(judged: JudgedNight, problem: Problem) -> Iterator[dict[str, Any]]:
    for incident in problem.incidents:
        result = incident.failing
        document = {
            "id": f"{_ORIGIN}:{judged.night.plan}/{judged.night.number}/{problem.id}/{result.id}",
            "origin": _ORIGIN,
            "issue_id": _issue_id(judged, problem),
            "issue_version": judged.night.number,
            "present": True,
        }
        revision = next(
            (each for each in judged.night.revisions
             if each.commit == result.commit and each.branch == result.slot.branch), None,
        )  # fmt: skip
        if problem.kind == BUILD and revision is not None:
            document["build_id"] = _build_id(judged, revision, result.configuration)
        else:
            document["test_id"] = _test_id(judged, result)
        yield document


def _checkout_id(judged: JudgedNight, revision: RevisionNight) -> str:
    night = judged.night
    return _text(f"{_ORIGIN}:{night.plan}/{night.number}/{revision.branch}/{revision.commit}")


def _build_id(judged: JudgedNight, revision: RevisionNight, configuration: str) -> str:
    return f"{_checkout_id(judged, revision)}/{_text(configuration)}"


def _test_id(judged: JudgedNight, result: Result) -> str:
    night, slot = judged.night, result.slot
    words = (night.plan, night.number, slot.branch, result.commit, slot.cell, result.purpose.value,
             result.attempt)  # fmt: skip
    return _text(f"{_ORIGIN}:{'/'.join(map(str, words))}")


def _issue_id(judged: JudgedNight, problem: Problem) -> str:
    return f"{_ORIGIN}:{judged.night.plan}/{problem.id}"


def _path(cell: str) -> str:
    """Return a cell's name as a dotted path, whose words have few characters."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", cell)


def _text(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
