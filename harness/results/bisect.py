"""The results of a bisection, as JSON and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from harness.bisect.evidence import Mark, Tally
from harness.bisect.search import Culprit, Several, Stuck
from harness.printable import printable
from harness.results.text import way_in_words

if TYPE_CHECKING:
    from harness.bisect.findings import Findings
    from harness.bisect.proof import Proof

_SIGNS = {"good": "+", "bad": "-", "skip": "?", "mixed": "-", "untested": " "}
_SHORT = 12


def to_bisect_document(findings: Findings) -> dict[str, Any]:
    """Return the findings as a JSON document: the key ``bisect`` of a record."""
    question = findings.asked.question
    return {
        "fixed": question.fixed,
        "new": question.new,
        "old": question.old[0],
        "confidence_asked": question.confidence,
        "answer": _answer(findings),
        "failure": {
            "title": findings.target.title,
            "own": sorted(findings.target.own),
            "rate": round(findings.rate, 3),
        },
        "revisions": findings.revisions,
        "candidates": findings.candidates,
        "steps": findings.steps,
        "culprits": [asdict(one) for one in findings.culprits],
        "proof": _proof(findings.proof),
        "line": [
            {"commit": one.commit, "subject": one.subject, "place": one.place,
             "verdict": verdict_of(one.tally), **asdict(one.tally)}
            for one in findings.line
        ],
        "tests": [{**asdict(one), "mark": mark.value} for one, mark in findings.tests],
    }  # fmt: skip


def verdict_of(tally: Tally) -> str:
    """Return the verdict of a revision's tests: ``good``, ``bad``, ``skip`` or ``untested``."""
    if tally.bad:
        return "bad"
    if tally.good:
        return "good"
    return "skip" if tally.other or not tally.builds else "untested"


def _answer(findings: Findings) -> dict[str, Any]:
    match findings.answer:
        case Culprit(commit, confidence):
            return {"kind": "culprit", "commits": [commit], "confidence": round(confidence, 4)}
        case Several(commits, confidence):
            return {"kind": "several", "commits": list(commits),
                    "confidence": round(confidence, 4)}  # fmt: skip
        case Stuck(reason):
            return {"kind": "none", "commits": [], "confidence": 0.0, "reason": reason}
        case _:
            raise AssertionError("a search ends with an answer")


def _proof(proof: Proof | None) -> list[dict[str, Any]]:
    if proof is None:
        return []
    return [
        {"what": step.what, "commit": step.commit, "expected": step.expected.value,
         "holds": step.holds, "problem": step.problem, **asdict(step.tally)}
        for step in proof.steps
    ]  # fmt: skip


def headline(document: Mapping[str, Any]) -> str:
    """Return the answer in one line."""
    answer = document["answer"]
    share = f"{100 * answer['confidence']:.1f} %"
    does = "fixed" if document["fixed"] else "broke"
    if answer["kind"] == "culprit":
        culprit = document["culprits"][0]
        subject = culprit["message"].splitlines()[0] if culprit["message"] else ""
        return printable(f"{culprit['name'][:_SHORT]} {does} it (confidence {share}): {subject}")
    if answer["kind"] == "several":
        count = len(answer["commits"])
        return f"one of {count} revisions {does} it (confidence {share})"
    return printable(f"inconclusive: {answer['reason']}")


def guests_in_words(record: Mapping[str, Any]) -> list[str]:
    """Return release, sanitizer, nodes and backend of the guests; a line for each combination."""
    return list(
        dict.fromkeys(
            printable(
                f"{cell['guest']}, {cell['sanitizer']}, {_counted(cell['nodes'], 'node')}, "
                f"{way_in_words(cell)}"
            )
            for cell in record["cells"]
        )
    )


def bisect_lines(record: Mapping[str, Any]) -> Iterator[str]:
    """Generate the lines of a bisection's report, escaped for a terminal."""
    document = record["bisect"]
    yield headline(document)
    yield from (f"guest: {guest}" for guest in guests_in_words(record))
    failure = document["failure"]
    if failure["title"]:
        yield printable(f"failure: {failure['title']}") + _rate(failure["rate"])
    for title in failure["own"]:
        yield printable(f"ignored, as the good end shows it, too: {title}")
    for culprit in document["culprits"]:
        yield from _culprit_lines(culprit, whole=len(document["culprits"]) == 1)
    if document["proof"]:
        yield ""
        yield "proof"
        yield from (f"  {_proof_line(step)}" for step in document["proof"])
    yield ""
    yield (
        f"{document['revisions']} revisions, {document['candidates']} of which change the kernel; "
        f"found in {_counted(document['steps'], 'step')}; tested, oldest first:"
    )
    yield from (f"  {_tested_line(one)}" for one in document["line"])
    yield f"{_totals(document['tests'])}"


def _rate(rate: float) -> str:
    return f" (in about {100 * rate:.0f} % of a bad kernel's tests)" if rate < 0.9 else ""


def _culprit_lines(culprit: Mapping[str, Any], *, whole: bool) -> Iterator[str]:
    message = culprit["message"].splitlines() or [""]
    if not whole:
        yield printable(f"  {culprit['name'][:_SHORT]} {message[0]}")
        return
    yield ""
    yield printable(f"commit {culprit['name']}")
    yield printable(f"Author: {culprit['author']}")
    yield printable(f"Date:   {culprit['date']}")
    yield from (printable(f"    {line}") for line in message)
    yield ""
    yield from (printable(line) for line in culprit["diffstat"].splitlines())


def _proof_line(step: Mapping[str, Any]) -> str:
    expected = "pass" if step["expected"] == Mark.GOOD else "fail"
    name = f" ({step['commit'][:_SHORT]})" if step["commit"] else ""
    if step["problem"]:
        return printable(f"{step['what']}{name}, expected to {expected}: {step['problem']}")
    counts = counts_in_words(step)
    doubt = "" if step["holds"] else " (not as expected)"
    return f"{step['what']}{name}, expected to {expected}: {counts}{doubt}"


def counts_in_words(tally: Mapping[str, Any]) -> str:
    """Return ``passed 3 of 4``, ``does not build``, ``failed differently`` or ``not tested``."""
    if not tally["builds"]:
        return "does not build"
    tests = tally["good"] + tally["bad"]
    if not tests:
        return "failed differently" if tally["other"] else "not tested"
    word = "failed" if tally["bad"] else "passed"
    count = tally["bad"] or tally["good"]
    other = f", {tally['other']} failed differently" if tally["other"] else ""
    return (f"{word} {count} of {tests}" if tests > 1 else word) + other


def _tested_line(one: Mapping[str, Any]) -> str:
    sign = _SIGNS[one["verdict"]]
    return printable(f"{sign} {one['commit'][:_SHORT]} {counts_in_words(one):24} {one['subject']}")


def _totals(tests: list[Mapping[str, Any]]) -> str:
    builds = [test["build_seconds"] for test in tests if test["build_seconds"] > 1]
    boots = [test["seconds"] for test in tests if test["seconds"]]
    return (
        f"{_counted(len(builds), 'build')} ({sum(builds):.0f} s), "
        f"{_counted(len(boots), 'test')} ({sum(boots):.0f} s)"
    )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
