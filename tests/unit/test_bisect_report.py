"""What a bisection tells at its end, as text and as HTML."""

from __future__ import annotations

import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bisect.evidence import Kind, Mark, RevisionTest, Tally, Target
from harness.bisect.findings import Findings, Point
from harness.bisect.history import Description
from harness.bisect.knowledge import Asked
from harness.bisect.proof import Proof, ProofStep
from harness.bisect.search import Culprit, Decision, Question, Several, Stuck
from harness.pages.rendering import Site
from harness.pages.runsite import write_run
from harness.results.bisect import bisect_lines, counts_in_words, headline, to_bisect_document

GOOD, BAD = "a" * 40, "b" * 40
HOSTILE = '<script>alert("1")</script>\x1b[2J\x00 & "quoted" </pre>'


def findings(answer: Decision, title: str = "page fault in foo") -> Findings:
    culprit = Description(
        BAD, "Some One <one@localhost>", "2026-01-02", "Break it\n\nBody.", " f | 2 +-"
    )
    named = isinstance(answer, Culprit | Several)
    steps = (
        ProofStep("its parent", GOOD, Mark.GOOD, Tally(good=2)),
        ProofStep("the culprit", BAD, Mark.BAD, Tally(bad=3)),
        ProofStep("the newest end without it", "", Mark.GOOD, problem="it conflicts"),
    )
    observations = (
        (RevisionTest(GOOD, Kind.PASSED, (), "booted", 30, 12.0, "01-a"), Mark.GOOD),
        (RevisionTest(BAD, Kind.FAILED, (title,), "panic", 4, 6.0, "02-b"), Mark.BAD),
    )
    return Findings(
        Asked(Question(BAD, (GOOD,))), answer, (culprit,) if named else (),
        Proof(steps) if isinstance(answer, Culprit) else None, Target(title), 0.35, 200, 95, 6,
        (Point(GOOD, "Old", 0, Tally(good=2)), Point(BAD, "Break it", 9, Tally(bad=3))),
        observations,
    )  # fmt: skip


def record(bisect: dict[str, Any]) -> dict[str, Any]:
    cell = {"guest": "FreeBSD 13.2-RELEASE", "sanitizer": "kasan", "nodes": 2, "backend": "qemu",
            "accelerator": "tcg", "boot": "direct"}  # fmt: skip
    return {"bisect": bisect, "command": ["bisect", "--good", "A"], "started": "2026",
            "cells": [cell, cell], "name": "made", "exit_code": 0, "harness": "1",
            "source": ""}  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "code", "expected"),
    [
        (Culprit(BAD, 0.987), 0, "bbbbbbbbbbbb broke it (confidence 98.7 %): Break it"),
        (Several((GOOD, BAD), 0.96), 1, "one of 2 revisions broke it (confidence 96.0 %)"),
        (Stuck("could not reproduce the failure"), 1, "inconclusive: could not reproduce"),
    ],
)
def test_the_answer_stands_in_the_first_line_and_in_the_exit_code(
    answer: Decision, code: int, expected: str
) -> None:
    found = findings(answer)
    assert found.exit_code == code
    assert headline(to_bisect_document(found)).startswith(expected)


def test_the_text_tells_culprit_proof_tests_and_rate() -> None:
    document = record(to_bisect_document(findings(Culprit(BAD, 0.987))))
    text = "\n".join(bisect_lines(document))
    for part in (
        "\nguest: FreeBSD 13.2-RELEASE, kasan, 2 nodes, qemu/tcg/direct\nfailure",
        "failure: page fault in foo (in about 35 % of a bad kernel's tests)",
        "Author: Some One <one@localhost>", "    Body.", " f | 2 +-",
        "its parent (aaaaaaaaaaaa), expected to pass: passed 2 of 2",
        "the newest end without it, expected to pass: it conflicts",
        "200 revisions, 95 of which change the kernel", "- bbbbbbbbbbbb failed 3 of 3",
        "2 builds (34 s), 2 tests (18 s)",
    ):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(
    ("tally", "expected"),
    [
        (Tally(), "not tested"),
        (Tally(good=1), "passed"),
        (Tally(good=3, bad=1), "failed 1 of 4"),
        (Tally(other=2), "failed differently"),
        (Tally(good=1, other=2), "passed, 2 failed differently"),
        (Tally(builds=False), "does not build"),
    ],
)
def test_counts_in_words(tally: Tally, expected: str) -> None:
    values = {"good": tally.good, "bad": tally.bad, "other": tally.other, "builds": tally.builds}
    assert counts_in_words(values) == expected


class Reader(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def page(document: dict[str, Any], run: Path, site: Path) -> Reader:
    """The report of a record."""
    return Reader(site / write_run(Site(site), document, run))


@given(st.text() | st.just(HOSTILE))
def test_what_a_guest_or_an_author_wrote_is_text_and_nothing_else(text: str) -> None:
    document = to_bisect_document(findings(Culprit(BAD, 0.99), text or "x"))
    document["culprits"][0]["message"] = text
    document["line"][0]["subject"] = text
    document["tests"][1]["error"] = text
    with tempfile.TemporaryDirectory() as site:
        reader = page(record(document), Path("nowhere"), Path(site))
    assert not reader.tags & {"script", "img", "iframe", "b"}
    assert "\x1b" not in reader.text
    assert "\x00" not in reader.text
    assert all(line.isprintable() for line in bisect_lines(record(document)) if line)


def test_the_page_shows_the_end_of_each_console(tmp_path: Path) -> None:
    console = tmp_path / "02-b" / "console.log"
    console.parent.mkdir()
    console.write_bytes(b"x" * 200000 + b"\r\npanic: \x1b[31mred\xff\r\n<b>bold</b>\r\n")
    document = to_bisect_document(findings(Culprit(BAD, 0.99)))
    reader = page(record(document), tmp_path, tmp_path / "site")
    assert "Commit bbbbbbbbbbbb broke it (confidence 99.0 %): Break it." in reader.text
    assert "<b>bold</b>" in reader.text
    assert "FreeBSD 13.2-RELEASE, kasan, 2 nodes, qemu/tcg/direct" in reader.text
    assert "\x1b" not in reader.text
    assert len(reader.text) < 100000


def test_a_cell_of_a_record_names_no_file_elsewhere(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for secret in (tmp_path / "console.log", tmp_path / "other" / "console.log"):
        secret.parent.mkdir(exist_ok=True)
        secret.write_text("a secret")
    run.mkdir()
    document = to_bisect_document(findings(Culprit(BAD, 0.99)))
    for name in ("..", "../other", str(tmp_path / "other")):
        document["tests"][1]["cell"] = name
        assert "secret" not in page(record(document), run, tmp_path / "site").text
