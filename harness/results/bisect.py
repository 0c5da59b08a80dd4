"""The results of a bisection, as JSON and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
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
        "how": findings.asked.how,
        "first_parent": findings.asked.first_parent,
        "fixed": question.fixed,
        "new": question.new,
        "old": question.old[0],
        "merge_bases": list(question.merge_bases),
        "confidence_asked": question.confidence,
        "answer": _answer(findings),
        "failure": {
            "title": findings.target.title,
            "own": sorted(findings.target.own),
            "rate": round(findings.rate, 3),
        },
        "error": findings.error,
        "end_error": findings.end_error,
        "reversals": [asdict(one) for one in findings.reversals],
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
    return "skip" if tally.other or not tally.testable else "untested"


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
    what = _WHAT[document.get("how", "boot"), bool(document["fixed"])]
    if answer["kind"] == "culprit":
        culprit = document["culprits"][0]
        subject = culprit["message"].splitlines()[0] if culprit["message"] else ""
        return printable(f"{culprit['name'][:_SHORT]} {what} (confidence {share}): {subject}")
    if answer["kind"] == "several":
        count = len(answer["commits"])
        return f"one of {count} revisions {what} (confidence {share})"
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
    words = words_of(document)
    yield headline(document)
    yield from (f"guest: {guest}" for guest in guests_in_words(record))
    if document.get("kernel"):
        yield printable(f"compiled: {document['kernel']}")
    yield from _failure_lines(document)
    yield from remark_lines(document)
    for culprit in document["culprits"]:
        yield from _culprit_lines(culprit, whole=len(document["culprits"]) == 1)
    if document["proof"]:
        yield ""
        yield "proof"
        yield from (f"  {_proof_line(step, words)}" for step in document["proof"])
    yield ""
    yield (
        f"{document['revisions']} revisions, {document['candidates']} of which change the kernel; "
        f"found in {_counted(document['steps'], 'step')}; tested, oldest first:"
    )
    yield from (f"  {_tested_line(one, words)}" for one in document["line"])
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


def _failure_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Generate the failure that counted."""
    failure = document["failure"]
    if document.get("error"):
        yield printable(f"first error: {document['error']}")
    elif failure["title"]:
        yield printable(f"failure: {failure['title']}") + _rate(failure["rate"])
    for title in failure["own"]:
        yield printable(f"ignored, as the good end shows it, too: {title}")


def remark_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Generate remarks on the searched part of the history, and on reversals."""
    words = words_of(document)
    tested = {one["commit"]: one for one in document["line"]}
    for base in document.get("merge_bases", ()):
        did = counts_in_words(tested[base], words) if base in tested else "not tested"
        yield printable(f"the ends are on two branches; their merge base {base[:_SHORT]}: {did}")
    if document.get("first_parent"):
        yield "first parents only: each merge counts as one change"
    if document.get("end_error"):
        yield printable(f"the bad end has another first error: {document['end_error']}")
    one, other = (words.good, words.bad) if document["fixed"] else (words.bad, words.good)
    for each in document.get("reversals", ()):
        yield printable(
            f"not monotone: {each['earlier'][:_SHORT]} {one}, its descendant "
            f"{each['later'][:_SHORT]} {other}; the search took the newest transition"
        )


def _proof_line(step: Mapping[str, Any], words: Words) -> str:
    expected = words.passes if step["expected"] == Mark.GOOD else words.fails
    name = f" ({step['commit'][:_SHORT]})" if step["commit"] else ""
    if step["problem"]:
        return printable(f"{step['what']}{name}, expected {expected}: {step['problem']}")
    counts = counts_in_words(step, words)
    doubt = "" if step["holds"] else " (not as expected)"
    return f"{step['what']}{name}, expected {expected}: {counts}{doubt}"


@dataclass(frozen=True, slots=True)
class Words:
    """Terms for the results of tests.

    Args:
        good: a test that passed.
        bad: a test that failed.
        passes: expectation of a revision that should pass.
        fails: expectation of a revision that should fail.
        other: a test without a verdict.
        unbuilt: a revision without a kernel.
    """

    good: str = "passed"
    bad: str = "failed"
    passes: str = "to pass"
    fails: str = "to fail"
    other: str = "failed differently"
    unbuilt: str = "does not build"


_TESTS = Words()
_BUILDS = Words(
    "builds", "does not build", "to build", "not to build", "fails differently",
    "cannot be built with these options",
)  # fmt: skip

#: The culprit's effect, by kind of test and whether the search was for a fix.
_WHAT: Mapping[tuple[str, bool], str] = MappingProxyType(
    {
        (how, fixed): ("fixed it" if fixed else "broke it")
        for how in ("boot", "check")
        for fixed in (False, True)
    }
    | {("build", False): "broke the compilation", ("build", True): "fixed the compilation"}
)


def words_of(document: Mapping[str, Any]) -> Words:
    """The words for the tests of a bisection."""
    return _BUILDS if document.get("how") == "build" else _TESTS


def counts_in_words(tally: Mapping[str, Any], words: Words = _TESTS) -> str:
    """Return ``passed 3 of 4``, ``does not build``, ``failed differently`` or ``not tested``."""
    if not tally["builds"]:
        return words.unbuilt
    tests = tally["good"] + tally["bad"]
    if not tests:
        if tally.get("skipped"):
            return "skipped"
        return words.other if tally["other"] else "not tested"
    word = words.bad if tally["bad"] else words.good
    count = tally["bad"] or tally["good"]
    other = f", {tally['other']} failed differently" if tally["other"] else ""
    return (f"{word} {count} of {tests}" if tests > 1 else word) + other


def _tested_line(one: Mapping[str, Any], words: Words) -> str:
    sign = _SIGNS[one["verdict"]]
    came = counts_in_words(one, words)
    return printable(f"{sign} {one['commit'][:_SHORT]} {came:24} {one['subject']}")


def _totals(tests: list[Mapping[str, Any]]) -> str:
    builds = [test["build_seconds"] for test in tests if test["build_seconds"] > 1]
    boots = [test["seconds"] for test in tests if test["seconds"]]
    built = f"{_counted(len(builds), 'build')} ({sum(builds):.0f} s)"
    return f"{built}, {_counted(len(boots), 'test')} ({sum(boots):.0f} s)" if boots else built


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
